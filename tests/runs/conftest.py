from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gallery.models import DiffusionModel, Generation
from gallery.services.requests import GenerationRequest, create_generation
from gallery.tests.makers import make_model
from imagineer.models import User
from tests.people import make_user


@pytest.fixture
def member(db: None) -> User:
    return make_user("member", "member")


@pytest.fixture
def other(db: None) -> User:
    return make_user("other", "member")


@pytest.fixture
def model(db: None) -> DiffusionModel:
    return make_model("tiny", is_default=True)


@pytest.fixture
def ask(member: User, model: DiffusionModel, settings: Any, tmp_path: Path) -> Callable[..., Generation]:
    """Queues a generation: the concrete Run of these tests."""
    settings.GENERATIONS_PER_MINUTE = 0
    settings.DATA_DIR = tmp_path

    def place(user: User | None = None, **fields: Any) -> Generation:
        return create_generation(user or member, GenerationRequest(**{"prompt": "an owl", **fields}))

    return place
