"""A database that is locked and a disk that is full when a result is to be written."""

import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gallery.models import Generation
from imagineer.runs import RunStatus
from tests.faults.conftest import assert_survived, wait_for, wait_for_stage
from tests.studio import Studio

pytestmark = pytest.mark.slow
Order = Callable[..., Generation]


def test_the_database_is_locked_for_20_seconds_at_the_end_of_a_job(studio: Studio, order: Order) -> None:
    studio.start()
    run = order(steps=100)
    wait_for_stage(run, "denoising")
    lock = sqlite3.connect(studio.root / "imagineer.sqlite3", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    time.sleep(20)
    lock.execute("ROLLBACK")
    lock.close()
    assert wait_for(run).status == RunStatus.SUCCEEDED
    assert run.images.count() == 1
    assert_survived(studio, order)


@pytest.fixture
def small_disk(studio: Studio) -> Iterator[Path]:
    """The folder of the pictures on a file system of 400 kB, as root may mount one."""
    media = studio.root / "media"
    media.mkdir(exist_ok=True)
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(media)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody mount a file system")
    yield media
    subprocess.run(["umount", str(media)], check=True)


def test_the_disk_is_full_while_a_picture_is_saved(studio: Studio, order: Order, small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - 8192))
    studio.start()
    run = wait_for(order())
    assert run.status == RunStatus.FAILED
    assert "disk is full" in run.error
    assert run.images.count() == 0
    assert [path.name for path in small_disk.rglob("*") if path.is_file()] == ["ballast"]
    ballast.unlink()
    assert_survived(studio, order)
