import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from PIL import Image, ImageChops

from gallery.engine.autoencoder import decode_latents, encode_picture
from gallery.engine.denoise import Denoiser, Plan
from gallery.engine.devices import Device, choose_device
from gallery.engine.embeddings import PromptEncoder
from gallery.engine.errors import EngineError
from gallery.engine.models import load_model
from gallery.engine.protocol import ModelSpec
from gallery.tests.engine.conftest import STARTER


def draw(model, plan, prompt="red heart, 3d style", negative="blue", seed=3):
    prompts = PromptEncoder(model)
    pair = prompts.pair(prompt, negative, ()) if plan.guided(model) else (prompts.encode(prompt, ()), None)
    denoiser = Denoiser(model, plan, *pair, 1)
    latents = denoiser.run([torch.Generator().manual_seed(seed)], None, lambda done, estimate: None)
    return decode_latents(model, latents)


def draw_plainly(pipeline, plan, prompt="red heart, 3d style", negative="blue", seed=3):
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(
        prompt,
        negative_prompt=negative,
        width=plan.width,
        height=plan.height,
        num_inference_steps=plan.steps,
        guidance_scale=plan.guidance,
        generator=torch.Generator().manual_seed(seed),
    ).images[0]


def plain_pipeline(model):
    """diffusers' own pipeline around the very same weights, with its own scheduler."""
    from gallery.engine.samplers import build_scheduler

    parts = {
        "vae": model.vae,
        "text_encoder": model.text_encoders[0],
        "tokenizer": model.tokenizers[0],
        "unet": model.unet,
        "scheduler": build_scheduler("DDIM", model.scheduler_config),
    }
    if model.is_sdxl:
        parts |= {"text_encoder_2": model.text_encoders[1], "tokenizer_2": model.tokenizers[1]}
        return StableDiffusionXLPipeline(**parts, add_watermarker=False)
    return StableDiffusionPipeline(**parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False)


def difference(a: Image.Image, b: Image.Image) -> int:
    return max(high for _, high in ImageChops.difference(a, b).getextrema())


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
@pytest.mark.parametrize("guidance", [0, 1, 5.5])
def test_draws_what_diffusers_draws(tiny_models, family, guidance):
    model = tiny_models[family]
    plan = Plan(64, 64, 3, guidance, "DDIM")
    assert difference(draw(model, plan), draw_plainly(plain_pipeline(model), plan)) <= 1


@pytest.mark.slow
def test_starter_draws_what_diffusers_draws(starter):
    pipeline = StableDiffusionPipeline.from_pretrained(STARTER, local_files_only=True, torch_dtype=torch.float32)
    plan = Plan(64, 64, 10, 4, "DDIM")
    mine = draw(starter, plan)
    assert mine.size == (64, 64)
    assert difference(mine, draw_plainly(pipeline, plan)) <= 1
    red, green, blue = mine.getpixel((32, 32))
    assert red > 150
    assert max(green, blue) < 110


def test_honours_latent_scale_and_schedule_of_the_model(starter):
    assert starter.vae_factor == 4
    assert starter.scheduler_config["prediction_type"] == "v_prediction"
    assert starter.scheduler_config["timestep_spacing"] == "trailing"


def test_autoencoder_round_trip(starter):
    picture = Image.radial_gradient("L").resize((64, 64)).convert("RGB")
    back = decode_latents(starter, encode_picture(starter, picture))
    error = ImageChops.difference(picture, back).convert("L")
    assert sum(error.tobytes()) / (64 * 64) < 20


def test_stated_prediction_type_goes_before_the_files(tiny, load):
    spec = replace(tiny["sd1"], prediction_type="v_prediction")
    assert load(spec).scheduler_config["prediction_type"] == "v_prediction"


def test_reads_fp16_variants(tiny, load, tmp_path):
    folder = tmp_path / "variant"
    shutil.copytree(tiny["sd1"].location, folder)
    for path in folder.rglob("*.safetensors"):
        path.rename(path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")))
    assert load(ModelSpec("variant", str(folder), "sd1")).unet.device.type == "cpu"


def test_reads_hub_models_from_the_local_cache_only(tiny, load, tmp_path, monkeypatch):
    home = tmp_path / "models--house--tiny"
    shutil.copytree(tiny["sd1"].location, home / "snapshots" / "0123abc")
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("0123abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert load(ModelSpec("tiny", "house/tiny", "sd1")).vae_factor == 8
    with pytest.raises(EngineError, match="models add house/other"):
        load(ModelSpec("other", "house/other", "sd1"))


def broken(tiny, tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(tiny["sd1"].location, folder)
    return folder


def refuse(folder, family="sd1"):
    with pytest.raises(EngineError) as caught:
        load_model(ModelSpec("broken", str(folder), family), choose_device(), lambda part: None)
    assert caught.value.kind == "model"
    return str(caught.value)


def test_refuses_a_folder_with_files_missing(tiny, tmp_path):
    folder = broken(tiny, tmp_path)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert "no safetensors file in unet/" in refuse(folder)
    (folder / "model_index.json").unlink()
    assert "model_index.json" in refuse(folder)
    assert "neither a model folder nor" in refuse(tmp_path / "nowhere")


def test_refuses_weights_in_pickles_under_any_name(tiny, tmp_path):
    folder = broken(tiny, tmp_path)
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    ran = tmp_path / "ran"
    path.write_bytes(pickle.dumps(Bomb(ran)))
    assert "pickle" in refuse(folder)
    path.rename(path.with_name("diffusion_pytorch_model.bin"))
    assert "no safetensors file in vae/" in refuse(folder)
    assert not ran.exists()


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_runs_no_code_that_the_model_names(tiny, load, tmp_path):
    folder = broken(tiny, tmp_path)
    ran = tmp_path / "ran"
    (folder / "unet" / "evil.py").write_text(f"open({str(ran)!r}, 'w')")
    index = {"_class_name": ["evil", "Pipeline"], "unet": ["evil", "UNet"], "scheduler": ["os", "system"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    assert load(ModelSpec("evil", str(folder), "sd1")).unet.config.cross_attention_dim == 32
    assert not ran.exists()


def test_a_cut_off_file_is_refused(tiny, tmp_path):
    folder = broken(tiny, tmp_path)
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "cut short" in refuse(folder)


@pytest.mark.parametrize(
    ("dtype", "upcast", "expected"),
    [
        (torch.float16, True, torch.float32),
        (torch.float16, False, torch.float16),
        (torch.bfloat16, False, torch.float32),
        (torch.float32, True, torch.float32),
    ],
)
def test_the_autoencoder_is_widened_where_it_would_overflow(dtype, upcast, expected):
    assert Device("cuda", dtype, "").vae_dtype(force_upcast=upcast) == expected


def test_half_precision_models_run(tiny):
    """The number type of a GPU, on the CPU: every part meets the type it was loaded in."""
    device = Device("cpu", torch.bfloat16, "")
    for spec in tiny.values():
        model = load_model(spec, device, lambda part: None)
        assert model.unet.dtype == torch.bfloat16
        assert model.vae.dtype == torch.float32
        assert draw(model, Plan(64, 64, 2, 5, "Euler a")).size == (64, 64)
