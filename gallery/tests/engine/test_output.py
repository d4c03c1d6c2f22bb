"""Previews, saved files, device choices and sentences for failures."""

import base64
import errno
import io
import os
import stat

import pytest
import torch
from PIL import Image

from gallery.engine.autoencoder import decode_latents, encode_picture
from gallery.engine.devices import Device, choose_device, environment
from gallery.engine.errors import EngineError, is_out_of_memory
from gallery.engine.preview import Previewer
from gallery.engine.save import picture_name, save_png
from gallery.engine.session import describe


def look(model, picture):
    latents = encode_picture(model, picture)
    return Image.open(io.BytesIO(base64.b64decode(Previewer(model).jpeg(latents)))).convert("RGB")


@pytest.mark.parametrize("colour", ["red", "blue", "orange", "green", "white", "black"])
def test_a_preview_shows_the_colours(starter, colour):
    """Near what the autoencoder itself would make of the latents."""
    picture = Image.new("RGB", (64, 64), colour)
    preview = look(starter, picture)
    assert preview.size == (64, 64)
    decoded = decode_latents(starter, encode_picture(starter, picture))
    assert max(abs(a - b) for a, b in zip(mean(preview), mean(decoded), strict=True)) < 80


def mean(picture):
    return picture.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))


def test_a_preview_shows_where_things_are(starter):
    picture = Image.new("RGB", (64, 64), "white")
    picture.paste((20, 20, 20), (0, 0, 32, 64))
    preview = look(starter, picture).convert("L")
    assert preview.getpixel((12, 32)) + 80 < preview.getpixel((52, 32))


def test_a_preview_is_small(starter):
    assert look(starter, Image.new("RGB", (1024, 512))).size == (256, 128)


def test_fits_any_autoencoder(tiny_models):
    assert look(tiny_models["sdxl"], Image.new("RGB", (64, 64), "red")).size == (64, 64)


def test_names_are_safe_and_distinct():
    assert picture_name("Job_7-a", 3) == "Job_7-a-03.png"
    names = {picture_name(job, 0) for job in ("../../etc/x", "..-..-etc-x", "ä", "ö", "", "a" * 500, "a" * 501)}
    assert len(names) == 7
    assert all("/" not in name and len(name) < 60 for name in names)


def test_saves_whole_files_that_others_may_read(tmp_path):
    path = tmp_path / "new folder" / "it.png"
    save_png(Image.new("RGB", (8, 8), "red"), path, None)
    assert Image.open(path).getpixel((0, 0)) == (255, 0, 0)
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    assert [entry.name for entry in path.parent.iterdir()] == ["it.png"]


def test_a_failed_save_leaves_what_was_there(tmp_path):
    path = tmp_path / "it.png"
    save_png(Image.new("RGB", (8, 8), "red"), path, None)
    with pytest.raises(OSError, match="cannot write mode"):
        save_png(Image.new("HSV", (8, 8)), path, None)
    assert Image.open(path).getpixel((0, 0)) == (255, 0, 0)
    assert [entry.name for entry in tmp_path.iterdir()] == ["it.png"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "memory"),
        (MemoryError(), "memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "memory"),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 17 bytes"), "memory"),
        (RuntimeError("shapes do not match"), "internal"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        (PermissionError(errno.EACCES, "Permission denied"), "disk"),
        (EngineError("lora", "Not this one."), "lora"),
        (KeyError("x"), "internal"),
    ],
)
def test_every_failure_has_a_kind_and_a_sentence(error, kind):
    found, sentence = describe(error)
    assert found == kind
    assert is_out_of_memory(error) is (kind == "memory")
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_the_environment_names_what_changes_pixels():
    told = environment(choose_device())
    assert {"torch", "diffusers", "device", "dtype", "attention", "threads", "machine", "cpu"} <= told.keys()


def test_pictures_are_batched_on_gpus_only_and_modestly():
    gpu, cpu = Device("cuda", torch.float16, ""), Device("cpu", torch.float32, "")
    assert cpu.batch_size(64, 64) == 1
    assert [gpu.batch_size(side, side) for side in (256, 512, 768, 1024, 2048)] == [4, 4, 1, 1, 1]
