"""The contracts of pyproject.toml hold, and would notice a breach."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]


def test_contracts_hold() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "code", "contract"),
    [
        ("gallery/engine/breach.py", "from gallery.models import Image\n", "Engines are plain Python"),
        ("gallery/weights/breach.py", "import torch\n", "What reads files from outside is small"),
        ("gallery/services/breach.py", "def later():\n    import torch\n", "imports no heavy package"),
        ("gallery/models/breach.py", "from gallery import views\n", "Within an app"),
        ("imagineer/breach.py", "def later():\n    from gallery import models\n", "An app knows the apps before it"),
    ],
)
def test_a_breach_is_noticed(tmp_path: Path, path: str, code: str, contract: str) -> None:
    for name in ("imagineer", "gallery", "training", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    package = path.partition("/")[0]
    (tmp_path / package).unlink()
    copy_sources(ROOT / package, tmp_path / package)
    (tmp_path / path).write_text(code)

    done = lint(tmp_path)

    assert done.returncode == 1
    broken = " ".join(done.stdout.split("Broken contracts")[1].split())
    assert contract in broken
    assert "breach" in broken


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(COMMAND, cwd=folder, capture_output=True, text=True, check=False)


def copy_sources(source: Path, target: Path) -> None:
    for file in source.rglob("*.py"):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
