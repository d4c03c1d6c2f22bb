from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.studio import Studio, joined, make_template


@pytest.fixture(scope="session")
def studio_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("template"))


@pytest.fixture
def studio(tmp_path: Path, studio_template: Path, settings: Any, django_db_blocker: Any) -> Iterator[Studio]:
    """A data folder and a database of its own; the test starts the workers it needs."""
    root = tmp_path / "data"
    studio = Studio(root, studio_template)
    with joined(root, settings, django_db_blocker):
        yield studio
        studio.kill_everything()
