"""The web process stays small: nothing heavy is loaded by starting Django nor by any request."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {
    "accelerate",
    "diffusers",
    "docker",
    "huggingface_hub",
    "ncnn",
    "numpy",
    "peft",
    "safetensors",
    "scipy",
    "scrapy",
    "torch",
    "transformers",
    "twisted",
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, studio_template: Path) -> Any:
    data = shutil.copytree(studio_template, tmp_path_factory.mktemp("web") / "data")
    env = {**os.environ, "IMAGINEER_DATA_DIR": str(data), "PYTHONPATH": str(ROOT), "DEBUG": "1"}
    env.pop("DATABASE_URL", None)
    command = [sys.executable, str(Path(__file__).with_name("browse.py"))]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def heavy(modules: list[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules} & HEAVY


def test_heavy_packages_are_there_to_be_loaded() -> None:
    """Else this file would prove nothing."""
    import importlib.util

    assert {name for name in HEAVY if importlib.util.find_spec(name)} == HEAVY


def test_starting_django_loads_nothing_heavy(seen: Any) -> None:
    assert {"gallery.models", "gallery.tasks", "imagineer.admin"} <= set(seen["after setup"])
    assert heavy(seen["after setup"]) == set()


def test_requests_load_nothing_heavy(seen: Any) -> None:
    assert seen["answers"]["order"] == 202
    assert seen["answers"]["form"] == 302
    assert {"/", "/create", "/mine", "/admin/", "/api/v1/openapi.json", "/api/v1/images"} <= set(seen["answers"])
    assert {path: code for path, code in seen["answers"].items() if code >= 500 and path != "/readyz"} == {}
    assert heavy(seen["after use"]) == set()
