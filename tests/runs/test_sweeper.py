import os
import time
from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone

from gallery.models import Generation
from imagineer import queue
from imagineer.models import Cluster, MaintenanceRecord
from imagineer.runs import RunStatus
from imagineer.sweeper import RING_PATIENCE, sweep, temporary_folder

Ask = Callable[..., Generation]


def age(run: Generation) -> None:
    Generation.objects.filter(pk=run.pk).update(created_at=timezone.now() - 2 * RING_PATIENCE)


def empty_queue() -> None:
    from django_q.models import OrmQ

    OrmQ.objects.all().delete()


def test_a_lost_doorbell_is_rung_once_more_and_only_once(ask: Ask) -> None:
    for _ in range(3):
        age(ask())
    empty_queue()
    assert sweep().rung == 3
    assert sweep().rung == 0
    assert queue.waiting("generation") == 3


def test_a_canary_in_the_queue_is_not_taken_for_a_doorbell(ask: Ask) -> None:
    age(ask())
    empty_queue()
    Cluster.objects.create(name="here:generation:all", queue="generation", pid=1, rung_at=timezone.now())
    queue.ring_canary("generation", "here:generation:all")
    assert sweep().rung == 1


def test_a_fresh_run_s_own_doorbell_is_given_time(ask: Ask) -> None:
    ask()
    empty_queue()
    assert sweep().rung == 0


def test_an_abandoned_run_goes_back_with_a_doorbell(ask: Ask) -> None:
    run = ask()
    run.claim("gone:1")
    empty_queue()
    Generation.objects.filter(pk=run.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    swept = sweep()
    assert (swept.requeued, swept.failed) == (1, 0)
    run.refresh_from_db()
    assert run.status == RunStatus.QUEUED
    assert queue.waiting("generation") == 1


def test_a_run_in_good_hands_is_left_alone(ask: Ask) -> None:
    run = ask()
    run.claim("here:1")
    assert sweep().requeued == 0
    run.refresh_from_db()
    assert run.status == RunStatus.RUNNING


def test_old_temporary_files_go_and_young_ones_stay(ask: Ask) -> None:
    old, young = temporary_folder() / "dead" / "x.png", temporary_folder() / "alive" / "y.png"
    for path in (old, young):
        path.parent.mkdir()
        path.write_bytes(b"x")
    yesterday = time.time() - 86400
    os.utime(old, (yesterday, yesterday))
    os.utime(old.parent, (yesterday, yesterday))
    assert sweep().files == 1
    assert [path for path in temporary_folder().rglob("*") if path.is_file()] == [young]
    assert not old.parent.exists()


def test_each_sweep_is_recorded(ask: Ask) -> None:
    sweep()
    record = MaintenanceRecord.objects.get(name="sweep")
    assert record.counts == {"requeued": 0, "failed": 0, "cancelled": 0, "rung": 0, "files": 0}
