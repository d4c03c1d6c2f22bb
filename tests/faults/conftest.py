from collections.abc import Callable
from typing import Any

import pytest

from gallery.models import Generation, Image
from gallery.services.requests import GenerationRequest, create_generation
from imagineer.models import User
from imagineer.runs import RunStatus
from tests.studio import LEASE_SECONDS, Studio, wait_until

SURVIVAL_SECONDS = LEASE_SECONDS + 60


@pytest.fixture
def user(studio: Studio) -> User:
    return User.objects.create_superuser("operator@example.org", "x")


@pytest.fixture
def order(user: User) -> Callable[..., Generation]:
    def place(**fields: Any) -> Generation:
        request = {"prompt": "red apple, 3d style", "steps": 10, "seed": 7, **fields}
        return create_generation(user, GenerationRequest(**request))

    return place


def wait_for(run: Generation, *statuses: str, seconds: float = SURVIVAL_SECONDS) -> Generation:
    def there() -> bool:
        run.refresh_from_db()
        return run.status in (statuses or RunStatus.terminal())

    wait_until(there, seconds, f"run stayed {run.status}, {run.stage!r}")
    return run


def wait_for_stage(run: Generation, stage: str, seconds: float = 60) -> Generation:
    def there() -> bool:
        run.refresh_from_db()
        return run.stage == stage or run.is_terminal

    wait_until(there, seconds, f"run never came to {stage}, it is at {run.stage!r}")
    assert run.stage == stage, f"the run was {run.status} before it came to {stage}: {run.error}"
    return run


def assert_survived(studio: Studio, order: Callable[..., Generation]) -> None:
    """What has to hold after every fault: all runs ended, a new one works, rows and files agree."""
    for run in Generation.objects.active():
        wait_for(run)
    assert wait_for(order(seed=99)).status == RunStatus.SUCCEEDED
    for run in Generation.objects.filter(status=RunStatus.SUCCEEDED):
        assert sorted(Image.objects.filter(generation=run).values_list("index", flat=True)) == list(range(run.count))
    report = studio.manage("integrity", "--json")
    assert report.returncode == 0, report.stdout + report.stderr
