"""Models and LoRAs as they are taken in, refused, and matched."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

from gallery.models import DiffusionModel, Lora
from gallery.services.registry import (
    check_model,
    ensure_starter,
    register_lora,
    register_model,
    why_lora_does_not_fit,
)
from gallery.tests.weights.builders import kohya_lora, write
from imagineer.errors import Invalid

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path
    settings.MODELS_DIR = tmp_path / "models"


@pytest.fixture
def copied_starter(tmp_path: Path) -> Path:
    return Path(shutil.copytree(django_settings.STARTER_MODEL, tmp_path / "copy"))


def test_the_starter_becomes_the_default_model_once() -> None:
    model = ensure_starter()
    assert (model.slug, model.family, model.is_default, model.available) == ("starter", "sd1", True, True)
    assert ensure_starter() == model
    assert DiffusionModel.objects.count() == 1


def test_another_default_is_left_alone(copied_starter: Path) -> None:
    other = register_model(copied_starter, slug="other")
    other.make_default()
    ensure_starter()
    assert DiffusionModel.objects.default() == other


def test_a_folder_without_its_unet_is_refused_by_name(copied_starter: Path) -> None:
    (copied_starter / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(Invalid, match="unet"):
        register_model(copied_starter)
    assert not DiffusionModel.objects.exists()


def test_a_pickle_named_safetensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"PK\x03\x04archive/data.pkl" + bytes(200))
    with pytest.raises(Invalid, match="pickle"):
        register_model(path)
    with pytest.raises(Invalid, match="pickle"):
        register_lora(path)
    assert not Lora.objects.exists()


def test_what_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="can't be read: No such file"):
        register_model(tmp_path / "nowhere")
    with pytest.raises(Invalid, match="can't be read: No such file"):
        register_lora(tmp_path / "nowhere.safetensors")


def test_a_model_that_changed_or_vanished_is_found_out(copied_starter: Path) -> None:
    model = register_model(copied_starter, slug="copy")
    assert check_model(model) == ""
    weights = copied_starter / "vae" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert "have changed" in check_model(model)
    assert not DiffusionModel.objects.usable().exists()
    shutil.rmtree(copied_starter)
    assert "can't be read" in check_model(model)


def test_a_lora_is_stored_under_its_hash_and_only_once(tmp_path: Path) -> None:
    path = write(tmp_path / "My Style.safetensors", kohya_lora())
    lora = register_lora(path)
    assert (lora.slug, lora.family, lora.rank, lora.alpha) == ("my-style", "sd1", 4, 2.0)
    assert lora.path.read_bytes() == path.read_bytes()
    assert lora.path.stat().st_mode & 0o777 == 0o644
    assert register_lora(path) == lora
    other = register_lora(write(tmp_path / "b" / "My Style.safetensors", kohya_lora(rank=8)))
    assert other.slug == "my-style-2"


def test_a_lora_fits_only_its_own_family() -> None:
    """The starter is an SD 1 pipeline of another width, so an ordinary SD 1 LoRA doesn't fit it."""
    starter = ensure_starter()
    lora = Lora(name="ink", family="sd1", cross_attention_dim=768)
    assert "made for SD 1 (cross-attention width 768)" in why_lora_does_not_fit(lora, starter)
    lora = Lora(name="ink", family="sdxl", cross_attention_dim=2048)
    assert "made for SDXL" in why_lora_does_not_fit(lora, starter)
    lora = Lora(name="ink", family="sd1", cross_attention_dim=starter.cross_attention_dim)
    assert why_lora_does_not_fit(lora, starter) == ""
