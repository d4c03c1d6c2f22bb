"""Stops in good order, and starts that should not have been."""

from collections.abc import Callable

import pytest

from gallery.models import Generation
from imagineer import queue
from imagineer.models import Cluster
from imagineer.runs import RunStatus
from tests.faults.conftest import assert_survived, wait_for, wait_for_stage
from tests.studio import Studio

pytestmark = pytest.mark.slow
Order = Callable[..., Generation]


def test_sigterm_during_a_job_gives_it_back(studio: Studio, order: Order) -> None:
    studio.start()
    run = order(steps=150, count=16)
    wait_for_stage(run, "denoising")
    assert studio.stop() == 0
    assert studio.leftovers() == []
    run.refresh_from_db()
    assert (run.status, run.attempt) == (RunStatus.QUEUED, 0), "a stop in good order costs no attempt"
    assert run.request_cancel()
    studio.start()
    assert_survived(studio, order)


def test_a_second_supervisor_refuses(studio: Studio, order: Order) -> None:
    studio.start()
    studio.wait_ready()
    second = studio.manage("work", "--queue", "generation")
    assert second.returncode == 1
    assert "supervised by another process already" in second.stderr
    assert Cluster.objects.count() == 1
    assert_survived(studio, order)


def test_a_doorbell_that_rings_five_times_makes_each_picture_once(studio: Studio, order: Order) -> None:
    run = order(count=2)
    queue.ring_queue("generation", 5)
    studio.start()
    assert wait_for(run).status == RunStatus.SUCCEEDED
    assert (run.attempt, run.images.count()) == (1, 2)
    assert_survived(studio, order)


def test_a_doorbell_that_was_lost_is_rung_again(studio: Studio, order: Order) -> None:
    from django_q.models import OrmQ

    run = order()
    OrmQ.objects.all().delete()
    studio.start()
    assert wait_for(run).status == RunStatus.SUCCEEDED
