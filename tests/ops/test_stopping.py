"""However it is stopped or breaks, `manage.py run` leaves no process."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.ops.served import MAKE, MANAGE, Served, free_port
from tests.studio import ROOT, wait_until

pytestmark = pytest.mark.slow


def once(site: Served, number: signal.Signals) -> None:
    site.process.send_signal(number)


def to_the_group(site: Served, number: signal.Signals) -> None:
    site.signal_group(number)


def three_times_to_the_group(site: Served, number: signal.Signals) -> None:
    for _ in range(3):
        site.signal_group(number)
        time.sleep(0.3)


@pytest.mark.parametrize(
    ("send", "number"),
    [(once, signal.SIGTERM), (three_times_to_the_group, signal.SIGINT), (to_the_group, signal.SIGHUP)],
)
def test_a_signal_stops_everything(
    data: Path, send: Callable[[Served, signal.Signals], None], number: signal.Signals
) -> None:
    with Served(data) as site:
        site.wait_ready()
        wait_until(lambda: len(site.processes()) > 5, 30, "the clusters didn't start")
        send(site, number)
        assert site.wait_end() == 0, site.output
        assert site.output.endswith("Stopped.\n"), site.output
        site.assert_nothing_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_make_alone_takes_everything_with_it(data: Path, number: signal.Signals) -> None:
    with Served(data, command=MAKE) as site:
        site.wait_ready()
        site.process.send_signal(number)
        site.wait_end()
        wait_until(lambda: not site.processes(), 30, "processes outlived make")


def test_killed_it_takes_everything_with_it(data: Path) -> None:
    with Served(data) as site:
        site.wait_ready()
        site.process.kill()
        site.wait_end()
        site.assert_nothing_left()


def test_stopped_while_it_prepares(tmp_path: Path) -> None:
    with Served(tmp_path / "data") as site:
        wait_until((site.data / "imagineer.sqlite3").exists, 30, "no database")
        site.process.terminate()
        assert site.wait_end() == 0, site.output
        site.assert_nothing_left()


def test_a_killed_web_process_is_replaced(data: Path) -> None:
    with Served(data) as site:
        site.wait_ready()
        site.service("gunicorn").kill()
        wait_until(lambda: "starting it again" in site.output, 20, "the death went unnoticed")
        wait_until(site.is_healthy, 30, "no new web process")
        assert "The web process was ended by SIGKILL" in site.output


def test_a_killed_supervisor_is_replaced(data: Path) -> None:
    with Served(data) as site:
        site.wait_ready()
        first = site.service("manage", "work")
        first.kill()
        wait_until(lambda: "starting it again" in site.output, 20, "the death went unnoticed")
        assert site.service("manage", "work").pid != first.pid
        assert site.is_healthy()


def test_workers_that_run_already_are_said_and_everything_ends(data: Path) -> None:
    with Served(data, command=(sys.executable, "manage.py", "work")) as other:
        wait_until(lambda: list((data / "locks").glob("*.lock")), 30, "no worker")
        with Served(data) as site:
            assert site.wait_end() == 1
            assert "supervised by another process already" in site.output
            assert "The worker process ended with code 1; everything was stopped." in site.output
        assert other.process.poll() is None
        assert not [each for each in psutil.process_iter() if f"PORT={site.port}" in _environment(each)]


def test_a_port_in_use_is_said_before_anything_is_touched(tmp_path: Path) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)), Served(tmp_path / "data", port=port) as site:
        assert site.wait_end() == 1
        sentence = f"Port {port} of 127.0.0.1 is in use by another program; stop it, or set PORT to another."
        assert sentence in site.output
        assert not (site.data / "imagineer.sqlite3").exists()


def test_a_broken_setting_is_said_and_nothing_starts(data: Path) -> None:
    with Served(data, PORT="70000") as site:
        assert site.wait_end() == 1
        assert "PORT=70000: must be at most 65535." in site.output


def test_without_workers_it_only_serves(data: Path) -> None:
    with Served(data, command=(*MANAGE, "--without-workers")) as site:
        site.wait_ready()
        assert len(site.processes()) == 3  # run, gunicorn's arbiter, the web process


def test_the_probe_of_containers_tells_healthy_from_not(data: Path) -> None:
    with Served(data, ALLOWED_HOSTS="gallery.example.org", command=(*MANAGE, "--without-workers")) as site:
        site.wait_ready()
        assert _probe(site.env) == 0
        site.process.terminate()
        site.wait_end()
        assert _probe(site.env) == 1


def _probe(env: dict[str, str]) -> int:
    return subprocess.run([sys.executable, "-m", "imagineer.probe"], cwd=ROOT, env=env, check=False).returncode


def _environment(process: psutil.Process) -> str:
    try:
        return " ".join(f"{name}={value}" for name, value in process.environ().items())
    except psutil.Error:
        return ""
