"""A cancel at every stage of a run: it ends within five seconds and stays so."""

import time
from collections.abc import Callable

import pytest

from gallery.models import Generation
from imagineer.runs import RunStatus
from tests.faults.conftest import assert_survived, wait_for, wait_for_stage
from tests.studio import Studio

pytestmark = pytest.mark.slow
Order = Callable[..., Generation]
CANCEL_SECONDS = 5


def test_while_queued(studio: Studio, order: Order) -> None:
    run = order()
    assert run.request_cancel()
    assert run.status == RunStatus.CANCELLED
    studio.start()
    assert_survived(studio, order)
    run.refresh_from_db()
    assert (run.status, run.attempt) == (RunStatus.CANCELLED, 0)


@pytest.mark.parametrize("stage", ["starting", "loading", "denoising", "saving"])
def test_while_at_work(studio: Studio, order: Order, stage: str) -> None:
    studio.start()
    run = order(steps=150 if stage == "denoising" else 4, count=16)
    wait_for_stage(run, stage)
    asked = time.monotonic()
    assert run.request_cancel()
    assert wait_for(run, seconds=CANCEL_SECONDS + 5).status == RunStatus.CANCELLED
    assert time.monotonic() - asked < CANCEL_SECONDS + 1
    assert_survived(studio, order)
    run.refresh_from_db()
    assert run.status == RunStatus.CANCELLED
    assert run.request_cancel(), "asking again is no error"


def test_when_done(studio: Studio, order: Order) -> None:
    studio.start()
    run = wait_for(order())
    assert not run.request_cancel()
    assert run.status == RunStatus.SUCCEEDED
    assert run.images.count() == 1
