"""A member, a stranger (another member), an operator, a guest (an account without a role), and things they have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gallery.models import DiffusionModel, Generation, Image
from gallery.tests.makers import make_generation, make_image, make_model
from imagineer.models import User
from tests.people import make_user


@pytest.fixture
def member(db: None) -> User:
    return make_user("member", "member")


@pytest.fixture
def stranger(db: None) -> User:
    return make_user("stranger", "member")


@pytest.fixture
def operator(db: None) -> User:
    return make_user("operator", "operator", "member")


@pytest.fixture
def guest(db: None) -> User:
    return make_user("guest")


@pytest.fixture
def model(db: None) -> DiffusionModel:
    return make_model("tiny", is_default=True)


@pytest.fixture
def data_folder(tmp_path: Path, settings: Any) -> Path:
    """Files of this test go into a folder of its own."""
    settings.DATA_DIR = tmp_path
    backend = settings.STORAGES["default"]
    settings.STORAGES = {**settings.STORAGES, "default": {**backend, "OPTIONS": {"location": tmp_path / "media"}}}
    return tmp_path


@pytest.fixture
def generation(member: User, model: DiffusionModel) -> Generation:
    return make_generation(member, model)


@pytest.fixture
def picture(data_folder: Path, member: User, generation: Generation) -> Callable[..., Image]:
    """Makes pictures of the member, with their files."""

    def make(**fields: Any) -> Image:
        return make_image(data_folder, **{"owner": member, "generation": generation, **fields})

    return make
