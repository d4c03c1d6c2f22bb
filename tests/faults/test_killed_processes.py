"""kill -9 of each process of a working and of an idle cluster."""

from collections.abc import Callable

import pytest

from gallery.models import Generation
from imagineer.runs import RunStatus
from tests.faults.conftest import assert_survived, wait_for, wait_for_stage
from tests.studio import Studio, end, wait_until

pytestmark = pytest.mark.slow
Order = Callable[..., Generation]


def test_a_killed_engine_fails_its_run_with_a_sentence(studio: Studio, order: Order) -> None:
    studio.start()
    run = order(steps=150, count=4)
    wait_for_stage(run, "denoising")
    end(studio.process("engine"))
    assert wait_for(run).status == RunStatus.FAILED
    assert "was killed" in run.error
    assert_survived(studio, order)


def test_a_worker_killed_at_work_is_replaced_and_its_run_done_again(studio: Studio, order: Order) -> None:
    studio.start()
    run = order(steps=100, count=3)
    wait_for_stage(run, "denoising")
    wait_until(lambda: run.images.count() >= 1, 60, "no first picture")
    first = run.images.get(index=0)
    engine = studio.process("engine").pid
    end(studio.process("worker"))
    assert wait_for(run).status == RunStatus.SUCCEEDED
    assert run.attempt == 2
    assert run.images.get(index=0).pk == first.pk, "a picture that was there is kept, not made twice"
    assert studio.process("engine").pid != engine, "the engine dies with its worker"
    assert_survived(studio, order)


@pytest.mark.parametrize("role", ["worker", "monitor", "pusher", "sentinel", "main"])
def test_an_idle_cluster_loses_a_process(studio: Studio, order: Order, role: str) -> None:
    studio.start()
    studio.wait_ready()
    end(studio.process(role))
    assert_survived(studio, order)


@pytest.mark.parametrize("role", ["monitor", "pusher", "sentinel", "main"])
def test_a_working_cluster_loses_a_process(studio: Studio, order: Order, role: str) -> None:
    studio.start()
    run = order(steps=60, count=2)
    wait_for_stage(run, "denoising")
    end(studio.process(role))
    assert wait_for(run).status == RunStatus.SUCCEEDED
    assert_survived(studio, order)


def test_everything_is_killed_and_started_again(studio: Studio, order: Order) -> None:
    studio.start()
    run = order(steps=100, count=2)
    wait_for_stage(run, "denoising")
    studio.kill_everything()
    assert studio.leftovers() == []
    studio.start()
    assert wait_for(run).status == RunStatus.SUCCEEDED
    assert_survived(studio, order)


def test_a_killed_supervisor_takes_its_clusters_along(studio: Studio, order: Order) -> None:
    studio.start()
    run = order(steps=100)
    wait_for_stage(run, "denoising")
    assert studio.supervisor is not None
    studio.supervisor.kill()
    studio.supervisor.wait()
    wait_until(lambda: not studio.leftovers(), 5, f"processes outlived their supervisor: {studio.leftovers()}")
