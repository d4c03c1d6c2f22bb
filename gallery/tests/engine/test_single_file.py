import socket
from pathlib import Path

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from gallery.engine.devices import choose_device
from gallery.engine.errors import EngineError
from gallery.engine.files import checked_header
from gallery.engine.models import load_model
from gallery.engine.protocol import ModelSpec
from gallery.engine.single_file import DATA, clip_tokenizer, load_single_file, stated_prediction
from gallery.tests.engine.checkpoints import write_checkpoint


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_args, **_keywords):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_is_the_model_that_was_written(tiny, tiny_models, offline, tmp_path, family):
    model = tiny_models[family]
    path = write_checkpoint(model, tmp_path / "it.safetensors")
    spec = ModelSpec("single", str(path), family)
    folder = Path(tiny[family].location)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / family).symlink_to(folder)
    read = load_single_file(spec, path, choose_device(), lambda part: None, configs=tmp_path / "configs")
    pairs = [
        (model.unet, read.unet),
        (model.vae, read.vae),
        *zip(model.text_encoders, read.text_encoders, strict=True),
    ]
    for mine, theirs in pairs:
        assert mine.state_dict().keys() == theirs.state_dict().keys()
        for key, value in theirs.state_dict().items():
            assert torch.equal(value, mine.state_dict()[key]), key
    text = "a (red) cat, 3d style"
    for mine, theirs in zip(model.tokenizers, read.tokenizers, strict=True):
        assert mine(text).input_ids == theirs(text).input_ids
        assert mine.pad_token_id == theirs.pad_token_id


# Parameters of the published models, in the order UNet, VAE, text encoders.
PUBLISHED = {
    "sd1": (859_520_964, 83_653_863, 123_060_480),
    "sd2": (865_910_724, 83_653_863, 340_387_840),
    "sdxl": (2_567_463_684, 83_653_863, 123_060_480, 694_659_840),
}


@pytest.mark.parametrize("family", PUBLISHED)
def test_the_configurations_describe_the_published_models(family):
    folder = str(DATA / family)
    with init_empty_weights():
        parts = [
            UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder, subfolder="unet")),
            AutoencoderKL.from_config(AutoencoderKL.load_config(folder, subfolder="vae")),
        ]
        classes = (CLIPTextModel, CLIPTextModelWithProjection)[: len(PUBLISHED[family]) - 2]
        for cls, name in zip(classes, ("text_encoder", "text_encoder_2"), strict=False):
            parts.append(cls(cls.config_class.from_pretrained(folder, subfolder=name)))
    assert tuple(sum(p.numel() for p in part.parameters()) for part in parts) == PUBLISHED[family]


def test_the_tokenizer_is_clips():
    tokenizer = clip_tokenizer("<|endoftext|>")
    assert len(tokenizer) == 49408
    text = "a photo of an astronaut riding a horse on mars"
    ids = [49406, 320, 1125, 539, 550, 18376, 6765, 320, 4558, 525, 7496, 49407]
    assert tokenizer(text).input_ids == ids
    assert clip_tokenizer("!").pad_token_id == 0


@pytest.mark.parametrize(
    ("tensors", "metadata", "stated"),
    [
        ([], {}, {}),
        ([], {"modelspec.prediction_type": "epsilon"}, {"prediction_type": "epsilon"}),
        ([], {"modelspec.prediction_type": "v"}, {"prediction_type": "v_prediction"}),
        ([], {"modelspec.architecture": "stable-diffusion-v2-768-v"}, {"prediction_type": "v_prediction"}),
        ([], {"modelspec.architecture": "stable-diffusion-v2-512"}, {"prediction_type": "epsilon"}),
        (["v_pred"], {}, {"prediction_type": "v_prediction"}),
        (
            ["v_pred", "ztsnr"],
            {},
            {
                "prediction_type": "v_prediction",
                "rescale_betas_zero_snr": True,
                "timestep_spacing": "trailing",
            },
        ),
    ],
)
def test_what_the_file_says_of_its_prediction(tmp_path, tensors, metadata, stated):
    path = tmp_path / "it.safetensors"
    save_file({name: torch.zeros(1) for name in ["weight", *tensors]}, path, metadata)
    assert stated_prediction(checked_header(path, "model")) == stated


@pytest.mark.parametrize(
    ("key", "part"),
    [
        ("model.diffusion_model.out.2.weight", "unet"),
        ("first_stage_model.quant_conv.bias", "vae"),
        ("cond_stage_model.transformer.text_model.final_layer_norm.bias", "text_encoder"),
    ],
)
def test_a_file_without_all_weights_is_refused(tiny, load, tmp_path, key, part):
    path = write_checkpoint(load(tiny["sd1"]), tmp_path / "it.safetensors")
    state = load_file(path)
    del state[key]
    save_file(state, path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "sd1").symlink_to(tiny["sd1"].location)
    spec = ModelSpec("single", str(path), "sd1")
    with pytest.raises(EngineError, match=f"lacks weights of its {part}"):
        load_single_file(spec, path, choose_device(), lambda part: None, configs=tmp_path / "configs")


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "it.safetensors"
    save_file({"weight": torch.zeros(4)}, path)
    with pytest.raises(EngineError) as caught:
        load_model(ModelSpec("other", str(path), "sd1"), choose_device(), lambda part: None)
    assert caught.value.kind == "model"
