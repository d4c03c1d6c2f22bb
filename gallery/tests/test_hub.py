"""`models add owner/name` against a hub on loopback, with the real hub client in a process of its own."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from gallery.models import DiffusionModel
from gallery.services.hub import choose_files
from gallery.tests.hub_server import COMMIT, Hub, serving
from imagineer.errors import Invalid
from tests.studio import Studio

HUB_ID = "somebody/small-model"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """The starter model as a repository, with files beside it that nobody needs."""
    root = tmp_path / "repository"
    for path in settings.STARTER_MODEL.rglob("*"):
        if path.is_file() and path.suffix in (".json", ".txt", ".safetensors"):
            target = root / path.relative_to(settings.STARTER_MODEL)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    (root / "everything.ckpt").write_bytes(b"\x80\x04pickle")
    (root / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04pickle")
    with serving(root, HUB_ID) as hub:
        yield hub


def add(studio: Studio, hub: Hub, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {
        **studio.env,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(studio.root / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DOWNLOAD_TIMEOUT": "10",
    }
    for name in ("HF_HUB_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        env.pop(name, None)
    command = [sys.executable, "manage.py", "models", "add", *arguments]
    return subprocess.run(
        command, cwd=settings.BASE_DIR, env=env, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.slow
def test_a_model_is_fetched_verified_and_registered(studio: Studio, hub: Hub) -> None:
    answer = add(studio, hub, HUB_ID)
    assert answer.returncode == 0, answer.stderr
    model = DiffusionModel.objects.get(slug="small-model")
    assert (model.family, model.hub_id, model.revision, model.licence) == ("sd1", HUB_ID, COMMIT, "mit")
    fetched = {path for method, path, _ in hub.asked if method == "GET"}
    assert not [path for path in fetched if path.endswith((".ckpt", ".bin"))], "pickles aren't even downloaded"
    assert Path(model.location) == studio.root / "models" / "hub" / "small-model"
    assert json.loads(studio.manage("models", "check", "--json").stdout)[0]["reason"] == ""


@pytest.mark.slow
def test_a_download_that_broke_off_goes_on_where_it_was(studio: Studio, hub: Hub) -> None:
    hub.break_after = 12_000_000  # more than one of the chunks that the client keeps
    answer = add(studio, hub, HUB_ID)
    assert answer.returncode == 0, answer.stderr
    resumed = [wanted for method, path, wanted in hub.asked if method == "GET" and wanted.startswith("bytes=")]
    assert [wanted for wanted in resumed if int(wanted[6:].partition("-")[0]) > 0], "nothing was fetched twice"


@pytest.mark.slow
def test_damaged_weights_are_refused_and_removed(studio: Studio, hub: Hub) -> None:
    hub.damage = True
    answer = add(studio, hub, HUB_ID)
    assert answer.returncode == 1
    assert "arrived damaged" in answer.stderr or "can't be reached" in answer.stderr


@pytest.mark.slow
def test_an_unknown_model_is_said_to_be_unknown(studio: Studio, hub: Hub) -> None:
    answer = add(studio, hub, "somebody/else")
    assert answer.returncode == 1
    assert "somebody/else: there is no such model on the hub." in answer.stderr


def test_one_set_of_weights_is_chosen() -> None:
    names = [
        "model_index.json",
        "big.safetensors",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.bin",
        "safety_checker/model.safetensors",
    ]
    assert choose_files(names) == [
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    ]


def test_pickles_only_is_refused_by_name() -> None:
    with pytest.raises(Invalid, match="its unet comes only as a pickle"):
        choose_files(["model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.bin"])


def test_what_is_no_diffusers_model_is_refused() -> None:
    with pytest.raises(Invalid, match=r"no model_index\.json"):
        choose_files(["model.safetensors"])
