"""`python -m gallery.engine`: see gallery.engine.protocol for what it reads and writes."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys

from gallery.engine.channel import Channel, take_stdout
from gallery.engine.session import Session


def main() -> int:
    options = _options()
    _settle_environment(options.threads)
    channel = Channel(sys.stdin.fileno(), take_stdout())
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: channel.close())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole terminal; the parent decides
    channel.send({"type": "hello", "pid": os.getpid(), "protocol": 1})
    channel.start()
    Session(channel, options.idle, options.threads, options.batch).run()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m gallery.engine", description="Makes pictures, one JSON line at a time."
    )
    parser.add_argument("--idle", type=float, metavar="SECONDS", help="end after so long without a job")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: what torch finds)")
    parser.add_argument("--batch", type=int, metavar="N", help="pictures computed together (default: by device)")
    return parser.parse_args()


def _settle_environment(threads: int | None) -> None:
    """Before any library reads them: no network, no telemetry, repeatable matrix kernels.

    OMP_WAIT_POLICY is left alone: threads that sleep between two small operations doubled a step's time.
    """
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)


if __name__ == "__main__":
    sys.exit(main())
