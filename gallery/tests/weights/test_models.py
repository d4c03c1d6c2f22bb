import struct
from pathlib import Path

import pytest

from gallery.tests.weights.builders import (
    f16,
    kohya_lora,
    model_folder,
    reason_of,
    sd1_file,
    sd2_file,
    sdxl_file,
    write,
    write_json,
)
from gallery.weights import detect_model
from gallery.weights.header import Tensor
from gallery.weights.numbers import read_numbers

STARTER = Path(__file__).parents[3] / "models" / "starter"


def file_info(tmp_path, tensors, metadata=None):
    return detect_model(write(tmp_path / "m.safetensors", tensors, metadata))


@pytest.mark.parametrize(
    ("tensors", "family", "width", "prediction", "size"),
    [
        (sd1_file(), "sd1", 768, "epsilon", 512),
        (sd2_file(), "sd2", 1024, None, None),
        (sd2_file(spread=0.2), "sd2", 1024, "v_prediction", 768),
        (sd2_file(spread=0.01), "sd2", 1024, "epsilon", 512),
        (sdxl_file(), "sdxl", 2048, "epsilon", 1024),
        ({**sdxl_file(), "v_pred": ("F16", (0,))}, "sdxl", 2048, "v_prediction", 1024),
    ],
)
def test_single_files_are_told_apart(tmp_path, tensors, family, width, prediction, size):  # noqa: PLR0917
    info = file_info(tmp_path, tensors)
    assert (info.family, info.cross_attention_dim, info.prediction_type) == (family, width, prediction)
    assert (info.kind, info.reason, info.missing, info.name) == ("file", None, [], "m")
    assert info.default_size == size


@pytest.mark.parametrize(
    ("metadata", "prediction"),
    [
        ({"modelspec.prediction_type": "v"}, "v_prediction"),
        ({"modelspec.architecture": "stable-diffusion-v2-768-v"}, "v_prediction"),
        ({"modelspec.architecture": "stable-diffusion-v2-512"}, "epsilon"),
    ],
)
def test_the_file_s_own_word_on_prediction_counts_first(tmp_path, metadata, prediction):
    assert file_info(tmp_path, sd2_file(), metadata).prediction_type == prediction


def test_weights_are_counted_by_component(tmp_path):
    components = file_info(tmp_path, sdxl_file()).components
    assert components["unet"] == 2 * (8 * 4 * 9 + 8 * 2048 + 4 * 8 * 9)
    assert components["text_encoder"] == 2 * 64
    assert components["text_encoder_2"] == 2 * 24 * 8
    assert components["vae"] == 2 * (8 * 3 * 9 + 3 * 8 * 9)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (sdxl_file(1280), "is the SDXL refiner"),
        ({**sdxl_file(), "edm_mean": ("F16", (4,))}, "is a model with the EDM noise schedule"),
        (
            {**sd2_file(), "model.diffusion_model.label_emb.0.0.weight": ("F16", (8, 8))},
            "is an unCLIP model",
        ),
        (sd1_file(channels=9), "takes 9 input channels"),
        (sd1_file(width=256), "cross-attention width 256"),
        ({k: v for k, v in sd1_file().items() if not k.startswith("first_")}, "lacks its VAE"),
        ({k: v for k, v in sd1_file().items() if not k.startswith("cond_")}, "lacks its text encoder"),
        ({k: v for k, v in sd1_file().items() if "out.2" not in k}, "lacks its UNet"),
        ({k: v for k, v in sdxl_file().items() if "embedders.1" not in k}, "lacks its text encoder 2"),
        (kohya_lora(), "is a LoRA; add it with `loras add`"),
        ({"model.diffusion_model.double_blocks.0.img_attn.qkv.weight": ("F16", (8, 8))}, "is a Flux model"),
        ({"model.diffusion_model.joint_blocks.0.x.weight": ("F16", (8, 8))}, "is a Stable Diffusion 3 model"),
        ({"down_blocks.0.resnets.0.conv1.weight": ("F16", (8, 8, 3, 3))}, "is only the UNet"),
        ({"decoder.conv_out.weight": ("F16", (3, 8, 3, 3))}, "is only a VAE"),
        ({"something": ("F16", (8,))}, "is of a kind Imagineer doesn't know"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path, tensors, words):
    reason = reason_of(file_info(tmp_path, tensors))
    assert words in reason
    assert reason.startswith("m.safetensors ")


def test_a_pickle_is_unusable_not_an_exception(tmp_path):
    (tmp_path / "m.safetensors").write_bytes(b"PK\x03\x04" + bytes(100))
    info = detect_model(tmp_path / "m.safetensors")
    assert info.family == "unknown"
    assert "pickles can run code" in reason_of(info)


def test_single_files_name_their_layers_as_folders_do(tmp_path):
    shapes = file_info(tmp_path, sdxl_file()).modules
    assert shapes["unet.down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"] == (8, 2048)
    assert shapes["te.text_model_encoder_layers_0_self_attn_q_proj"] == (8, 8)
    assert shapes["unet.conv_in"] == (8, 4)


def test_the_starter_model_is_known():
    info = detect_model(STARTER)
    assert (info.reason, info.family, info.kind, info.default_size) == (None, "sd1", "folder", 64)
    assert info.cross_attention_dim == info.modules["te.text_model_encoder_layers_0_self_attn_q_proj"][1]


@pytest.mark.parametrize(
    ("width", "pipeline", "family"),
    [
        (768, "StableDiffusionPipeline", "sd1"),
        (1024, "StableDiffusionPipeline", "sd2"),
        (256, "StableDiffusionPipeline", "sd1"),
        (2048, "StableDiffusionXLPipeline", "sdxl"),
    ],
)
def test_folders_are_told_apart(tmp_path, width, pipeline, family):
    info = detect_model(model_folder(tmp_path / "m", width, pipeline))
    assert (info.family, info.cross_attention_dim, info.reason) == (family, width, None)
    assert (info.prediction_type, info.default_size, info.variant) == ("v_prediction", 64, None)


@pytest.mark.parametrize(
    "file",
    [
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "text_encoder_2/config.json",
        "tokenizer/tokenizer.json",
        "tokenizer_2/tokenizer.json",
        "scheduler/scheduler_config.json",
    ],
)
def test_each_missing_file_is_named(tmp_path, file):
    root = model_folder(tmp_path / "m", 2048, "StableDiffusionXLPipeline")
    (root / file).unlink()
    info = detect_model(root)
    assert info.missing == [file]
    assert file in reason_of(info)


def test_a_component_with_only_a_pickle_is_refused_by_name(tmp_path):
    root = model_folder(tmp_path / "m")
    (root / "vae/diffusion_pytorch_model.safetensors").unlink()
    (root / "vae/diffusion_pytorch_model.bin").write_bytes(b"PK\x03\x04")
    assert "vae has only diffusion_pytorch_model.bin, a Python pickle" in reason_of(detect_model(root))


def test_a_pickle_renamed_inside_a_folder_is_refused(tmp_path):
    root = model_folder(tmp_path / "m")
    (root / "unet/diffusion_pytorch_model.safetensors").write_bytes(b"\x80\x04\x95" + bytes(40))
    assert reason_of(detect_model(root)).startswith("unet: diffusion_pytorch_model.safetensors is a Python pickle")


def test_a_folder_of_fp16_files_says_its_variant(tmp_path):
    root = model_folder(tmp_path / "m")
    for name in ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"):
        (root / f"{name}.safetensors").rename(root / f"{name}.fp16.safetensors")
    info = detect_model(root)
    assert (info.variant, info.reason) == ("fp16", None)


def shard(root, names):
    whole = root / "unet/diffusion_pytorch_model.safetensors"
    whole.unlink()
    write_json(root / "unet/diffusion_pytorch_model.safetensors.index.json", {"weight_map": names})


def test_sharded_weights_are_read_through_their_index(tmp_path):
    root = model_folder(tmp_path / "m")
    key = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    shard(root, {key: "one.safetensors", "other.weight": "two.safetensors"})
    write(root / "unet/one.safetensors", {key: ("F16", (320, 768))})
    write(root / "unet/two.safetensors", {"other.weight": ("F16", (2, 2))})
    info = detect_model(root)
    assert (info.reason, info.components["unet"]) == (None, 2 * 320 * 768 + 8)
    (root / "unet/two.safetensors").unlink()
    assert detect_model(root).missing == ["unet/two.safetensors"]


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/x.safetensors", "x.bin", ".x.safetensors", "y" * 300])
def test_an_index_that_leads_out_of_its_folder_is_refused(tmp_path, name):
    root = model_folder(tmp_path / "m")
    shard(root, {"a": name})
    assert "names files outside its folder" in reason_of(detect_model(root))


@pytest.mark.parametrize(
    ("file", "value", "words"),
    [
        ("model_index.json", {"_class_name": "FluxPipeline"}, "is made for FluxPipeline"),
        ("model_index.json", {"_class_name": ["x"]}, "is made for ['x']"),
        ("model_index.json", [], "no readable model_index.json"),
        ("unet/config.json", {"cross_attention_dim": 1024}, "says cross-attention width 1024"),
        ("unet/config.json", {"cross_attention_dim": 768, "in_channels": 9}, "takes 9 input channels"),
    ],
)
def test_configurations_that_contradict_are_refused(tmp_path, file, value, words):
    root = model_folder(tmp_path / "m")
    write_json(root / file, value)
    assert words in reason_of(detect_model(root))


def test_strange_configurations_cost_only_what_they_say(tmp_path):
    root = model_folder(tmp_path / "m")
    write_json(root / "vae/config.json", {"block_out_channels": 10**9})
    write_json(root / "scheduler/scheduler_config.json", {"prediction_type": {"a": 1}})
    info = detect_model(root)
    assert (info.default_size, info.prediction_type, info.reason) == (None, None, None)


def test_no_file_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        detect_model(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("dtype", "data", "value"),
    [
        ("F16", f16(1.5), 1.5),
        ("F32", struct.pack("<f", -2.5), -2.5),
        ("F64", struct.pack("<d", 0.1), 0.1),
        ("BF16", struct.pack("<f", 3.0)[2:], 3.0),
        ("I64", struct.pack("<q", 8), 8.0),
        ("I32", struct.pack("<i", -8), -8.0),
        ("U8", b"\x08", 8.0),
        ("F8_E5M2", b"\x3c", 1.0),
        ("F8_E4M3", b"\x38", 1.0),
        ("F8_E4M3", b"\xc8", -4.0),
        ("F8_E4M3", b"\x01", 2.0**-9),
    ],
)
def test_numbers_of_every_type_are_read(tmp_path, dtype, data, value):
    path = tmp_path / "numbers"
    path.write_bytes(data)
    with path.open("rb") as file:
        assert read_numbers(file, Tensor(dtype, (), 0, len(data))) == [value]
