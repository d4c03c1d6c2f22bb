"""Children with a will of their own: they work, fail, die, babble, hang and listen."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from gallery.models import Generation
from imagineer.children import Child, Message, log_path, supervise
from imagineer.runs import LeaseLost, RunCancelled, RunFailed
from tests.studio import wait_until

Ask = Callable[..., Generation]


@pytest.fixture
def run(ask: Ask) -> Generation:
    run = ask()
    run.claim("test:1")
    return run


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    monkeypatch.setenv("SECRET_KEY", "not for children")
    monkeypatch.setenv("HF_ENDPOINT", "for children")
    child = Child("tests.runs.echo_child")
    yield child
    child.end(grace=0.1)


def do(run: Generation, child: Child, act: str, silence: float = 30) -> tuple[Message, list[Message]]:
    heard: list[Message] = []
    return supervise(run, child, {"op": "do", "job": "1", "act": act}, heard.append, silence=silence), heard


def test_it_reports_progress_and_a_result(run: Generation, child: Child) -> None:
    result, heard = do(run, child, "work")
    assert [message["done"] for message in heard] == [1, 2], "messages of other jobs are not for this one"
    assert "HF_ENDPOINT" in result["answer"]
    assert "SECRET_KEY" not in result["answer"], "children don't get to know secrets"
    wait_until(lambda: log_path(run).exists() and log_path(run).read_text() == "a line for the log\n", 5, "no log")
    assert do(run, child, "work")[0]["type"] == "result", "it is there for the next job"


def test_an_error_is_told_and_the_child_lives_on(run: Generation, child: Child) -> None:
    with pytest.raises(RunFailed, match=r"It can't be done\."):
        do(run, child, "fail")
    assert do(run, child, "work")[0]["type"] == "result"


def test_a_death_is_told(run: Generation, child: Child) -> None:
    with pytest.raises(RunFailed, match="was killed, most likely because the machine ran out of memory"):
        do(run, child, "die")
    assert not child.is_alive


def test_babble_is_no_message(run: Generation, child: Child) -> None:
    result, _ = do(run, child, "babble")
    assert result["type"] == "result"


def test_a_hang_is_ended_with_all_it_has_started(run: Generation, child: Child) -> None:
    with pytest.raises(RunFailed, match="said nothing for 2 s"):
        supervise(run, child, {"op": "do", "job": "1", "act": "hang"}, lambda _: None, silence=2)
    assert not child.is_alive
    assert not [each for each in psutil.process_iter() if "tests.runs.echo_child" in _command(each)]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() if process.status() != psutil.STATUS_ZOMBIE else []
    except psutil.Error:
        return []


def test_a_cancel_is_passed_on_and_the_child_lives_on(run: Generation, child: Child) -> None:
    def cancel(message: Message) -> None:
        Generation.objects.get(pk=run.pk).request_cancel()

    asked = time.monotonic()
    with pytest.raises(RunCancelled):
        supervise(run, child, {"op": "do", "job": "1", "act": "wait"}, cancel, silence=30)
    assert time.monotonic() - asked < 4
    assert do_after_cancel(run, child)


def do_after_cancel(run: Generation, child: Child) -> bool:
    Generation.objects.filter(pk=run.pk).update(cancel_requested_at=None)
    return bool(do(run, child, "work")[0]["type"] == "result")


def test_a_lost_lease_stops_the_job(run: Generation, child: Child) -> None:
    def lose(message: Message) -> None:
        Generation.objects.filter(pk=run.pk).update(fence=99)

    with pytest.raises(LeaseLost):
        supervise(run, child, {"op": "do", "job": "1", "act": "wait"}, lose, silence=30)


def test_an_error_in_our_own_handling_stops_the_job(run: Generation, child: Child) -> None:
    def stumble(message: Message) -> None:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        supervise(run, child, {"op": "do", "job": "1", "act": "wait"}, stumble, silence=30)
    assert child.is_alive, "it heard the cancel and is ready for more"


def test_a_child_dies_with_its_parent() -> None:
    script = (
        "import os, django; os.environ['DJANGO_SETTINGS_MODULE']='imagineer.settings'; django.setup();"
        "from imagineer.children import Child; child = Child('tests.runs.echo_child');"
        "print(child.pid, flush=True); import time; time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.kill()
    wait_until(lambda: not psutil.pid_exists(pid) or _command(psutil.Process(pid)) == [], 5, "the child lives")
