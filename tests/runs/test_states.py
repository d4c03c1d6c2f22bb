"""Every verb of a run: who wins, who loses, and what late writers may no longer do."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from gallery.models import Generation
from imagineer import queue
from imagineer.runs import LeaseLost, RunCancelled, RunStatus

Ask = Callable[..., Generation]


def copy_of(run: Generation) -> Generation:
    return Generation.objects.get(pk=run.pk)


def lose_lease(run: Generation) -> None:
    Generation.objects.filter(pk=run.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def test_only_one_of_two_claims_wins(ask: Ask) -> None:
    run = ask()
    rival = copy_of(run)
    assert run.claim("one:1")
    assert not rival.claim("two:2")
    assert (run.status, run.attempt, run.fence, run.lease_owner) == (RunStatus.RUNNING, 1, 1, "one:1")
    assert run.lease_until > timezone.now()


def test_a_run_without_attempts_left_is_not_claimed(ask: Ask) -> None:
    run = ask()
    Generation.objects.filter(pk=run.pk).update(attempt=3)
    assert not run.claim("one:1")


def test_progress_is_written_and_prolongs_the_lease(ask: Ask) -> None:
    run = ask()
    run.claim("one:1")
    lose_lease(run)
    run.advance(stage="denoising", done=3, message="x" * 400)
    fresh = copy_of(run)
    assert (fresh.stage, fresh.done, len(fresh.message)) == ("denoising", 3, 300)
    assert fresh.lease_until > timezone.now()


def test_a_worker_that_lost_its_run_writes_nothing_more(ask: Ask) -> None:
    run = ask()
    run.claim("slow:1")
    late = copy_of(run)
    lose_lease(run)
    assert copy_of(run).recover() == RunStatus.QUEUED
    assert copy_of(run).claim("quick:2")
    for write in (late.renew, late.renew_in_transaction, lambda: late.advance(done=9)):
        with pytest.raises(LeaseLost):
            write()
    assert not late.succeed()
    assert not late.fail("too late")
    assert not late.release()
    fresh = copy_of(run)
    assert (fresh.status, fresh.attempt, fresh.fence, fresh.lease_owner) == (RunStatus.RUNNING, 2, 2, "quick:2")


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (lambda run: run.succeed(), RunStatus.SUCCEEDED),
        (lambda run: run.fail("no"), RunStatus.FAILED),
        (lambda run: run.finish_cancelled(), RunStatus.CANCELLED),
    ],
)
def test_an_end_is_final(ask: Ask, end: Callable[[Generation], bool], status: str) -> None:
    run = ask()
    run.claim("one:1")
    assert end(run)
    fresh = copy_of(run)
    assert (fresh.status, fresh.lease_until) == (status, None)
    assert fresh.finished_at is not None
    assert not fresh.succeed()
    assert not fresh.claim("two:2")
    assert fresh.request_cancel() is (status == RunStatus.CANCELLED)


def test_cancel_of_a_queued_run_is_immediate_and_of_a_running_one_a_request(ask: Ask) -> None:
    waiting, working = ask(), ask()
    assert waiting.request_cancel()
    assert copy_of(waiting).status == RunStatus.CANCELLED
    working.claim("one:1")
    assert working.request_cancel()
    assert copy_of(working).status == RunStatus.RUNNING
    with pytest.raises(RunCancelled):
        working.renew()
    assert working.finish_cancelled()
    assert copy_of(working).request_cancel(), "asking again is no error"


def test_release_gives_the_attempt_back(ask: Ask) -> None:
    run = ask()
    run.claim("one:1")
    assert run.release()
    fresh = copy_of(run)
    assert (fresh.status, fresh.attempt, fresh.lease_until) == (RunStatus.QUEUED, 0, None)


def test_recovery_requeues_then_fails_and_respects_a_cancel(ask: Ask) -> None:
    run, unwanted = ask(), ask()
    for attempt in (1, 2, 3):
        assert run.claim(f"worker:{attempt}")
        assert run.recover() == "", "its lease has not ended"
        lose_lease(run)
        assert copy_of(run).recover() == (RunStatus.QUEUED if attempt < 3 else RunStatus.FAILED)
        run = copy_of(run)
    assert "died in each of 3 attempts" in run.error
    unwanted.claim("worker:4")
    unwanted.request_cancel()
    lose_lease(unwanted)
    assert copy_of(unwanted).recover() == RunStatus.CANCELLED


def test_retry_is_for_failed_runs_only(ask: Ask) -> None:
    run = ask()
    assert not queue.resubmit(run)
    run.claim("one:1")
    run.fail("broken")
    assert queue.resubmit(run)
    fresh = copy_of(run)
    assert (fresh.status, fresh.attempt, fresh.error, fresh.finished_at) == (RunStatus.QUEUED, 0, "", None)


def test_who_sees_a_run(ask: Ask, other: object) -> None:
    from django.contrib.auth.models import AnonymousUser

    from tests.people import make_user

    run = ask()
    assert list(Generation.objects.visible_to(run.created_by)) == [run]
    assert list(Generation.objects.visible_to(other)) == []
    assert list(Generation.objects.visible_to(AnonymousUser())) == []
    assert list(Generation.objects.visible_to(make_user("boss", "operator"))) == [run]
