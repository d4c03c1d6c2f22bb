import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.studio import ROOT

PREPARE = "from imagineer.preparation import prepare; prepare()"


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, studio_template: Path) -> Path:
    folder = Path(shutil.copytree(studio_template, tmp_path_factory.mktemp("prepared") / "data"))
    env = {**os.environ, "IMAGINEER_DATA_DIR": str(folder), "IMAGINEER_ADMIN_PASSWORD": "correct horse battery"}
    env.pop("DATABASE_URL", None)
    subprocess.run([sys.executable, "manage.py", "shell", "-v0", "-c", PREPARE], cwd=ROOT, env=env, check=True)
    return folder


@pytest.fixture
def data(tmp_path: Path, prepared: Path) -> Path:
    """A data folder as an earlier start left it."""
    return Path(shutil.copytree(prepared, tmp_path / "data"))


@pytest.fixture(autouse=True)
def _signals_count() -> None:
    """Whoever started the tests in the background had them ignore these, and all that they start."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, usual)
