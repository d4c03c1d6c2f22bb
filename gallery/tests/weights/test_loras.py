import json
import struct
from typing import Any

import pytest

from gallery.tests.weights.builders import f16, kohya_lora, pair, reason_of, sd1_file, write
from gallery.weights import detect_lora

PATH = "down_blocks.0.attentions.0.transformer_blocks.0"
LAYERS = (("attn1.to_q", 320), ("attn2.to_k", 768), ("attn1.to_out.0", 320))


def info_of(tmp_path, tensors, metadata=None):
    return detect_lora(write(tmp_path / "toy.safetensors", tensors, metadata))


def spelled(prefix: str, down: str, up: str, separator: str = ".") -> dict[str, Any]:
    tensors: dict[str, Any] = {}
    for layer, inputs in LAYERS:
        path = f"{PATH}.{layer}".replace(".", separator)
        tensors |= pair(f"{prefix}{path}{down}", f"{prefix}{path}{up}", 4, inputs, 320)
    return tensors


def processors(prefix: str) -> dict[str, Any]:
    tensors: dict[str, Any] = {}
    for layer, inputs in LAYERS:
        block, name = layer.removesuffix(".0").split(".")
        path = f"{prefix}{PATH}.{block}.processor.{name}_lora"
        tensors |= pair(f"{path}.down.weight", f"{path}.up.weight", 4, inputs, 320)
    return tensors


@pytest.mark.parametrize(
    ("tensors", "form"),
    [
        (spelled("lora_unet_", ".lora_down.weight", ".lora_up.weight", "_"), "kohya"),
        (spelled("unet.", ".lora.down.weight", ".lora.up.weight"), "diffusers"),
        (spelled("unet.", ".lora_A.weight", ".lora_B.weight"), "diffusers"),
        (processors("unet."), "diffusers"),
        (processors(""), "diffusers"),
        (spelled("base_model.model.", ".lora_A.weight", ".lora_B.weight"), "peft"),
        (spelled("base_model.model.", ".lora_A.default.weight", ".lora_B.default.weight"), "peft"),
        (spelled("", ".lora_A.weight", ".lora_B.weight"), "peft"),
    ],
)
def test_every_spelling_of_one_lora_tells_the_same(tmp_path, tensors, form):
    info = info_of(tmp_path, tensors)
    names = {f"unet.{PATH}.{layer}".replace(".", "_").replace("unet_", "unet.", 1) for layer, _ in LAYERS}
    assert info.reason is None
    assert (info.format, info.family, info.cross_attention_dim) == (form, "sd1", 768)
    assert (info.rank, info.alpha, info.targets) == (4, 4.0, ("unet",))
    assert set(info.modules) == names


@pytest.mark.parametrize(
    ("dtype", "shape", "data"),
    [
        ("F16", (), f16(2.0)),
        ("F32", (1,), struct.pack("<f", 2.0)),
        ("BF16", (), struct.pack("<f", 2.0)[2:]),
        ("I64", (), struct.pack("<q", 2)),
        ("F8_E4M3", (), b"\x40"),
    ],
)
def test_alpha_is_read_in_every_number_type(tmp_path, dtype, shape, data):
    tensors = kohya_lora(alpha=None)
    names = [key.removesuffix(".lora_down.weight") for key in tensors if "lora_down" in key]
    tensors |= {f"{name}.alpha": (dtype, shape, data) for name in names}
    info = info_of(tmp_path, tensors)
    assert (info.rank, info.alpha, info.alphas) == (4, 2.0, (2.0,))


def test_an_alpha_of_zero_means_the_rank(tmp_path):
    assert info_of(tmp_path, kohya_lora(alpha=0.0)).alpha == 4.0


def test_mixed_ranks_and_alphas_are_all_told(tmp_path):
    more = pair("lora_unet_mid_block_proj.lora_down.weight", "lora_unet_mid_block_proj.lora_up.weight", 16, 8, 8)
    info = info_of(tmp_path, {**kohya_lora(), **more})
    assert (info.rank, info.ranks, info.alpha, info.alphas) == (4, (4, 16), 2.0, (2.0, 16.0))


def test_peft_s_alpha_comes_from_its_configuration(tmp_path):
    path = write(
        tmp_path / "adapter_model.safetensors",
        spelled("base_model.model.", ".lora_A.weight", ".lora_B.weight"),
    )
    (tmp_path / "adapter_config.json").write_text('{"lora_alpha": 8, "r": 4}')
    assert detect_lora(path).alpha == 8.0


def test_diffusers_keeps_peft_s_alpha_in_the_metadata(tmp_path):
    metadata = {"lora_adapter_metadata": json.dumps({"unet.lora_alpha": 16, "unet.r": 4})}
    assert info_of(tmp_path, spelled("unet.", ".lora_A.weight", ".lora_B.weight"), metadata).alpha == 16.0


def text_encoder(prefix, width, layer="text_model_encoder_layers_0_self_attn_q_proj"):
    return pair(f"{prefix}{layer}.lora_down.weight", f"{prefix}{layer}.lora_up.weight", 4, width, width)


def sdxl_sgm():
    path = "lora_unet_input_blocks_4_1_transformer_blocks_1_attn2_to_k"
    return pair(f"{path}.lora_down.weight", f"{path}.lora_up.weight", 4, 2048, 640)


@pytest.mark.parametrize(
    ("tensors", "family", "width", "targets"),
    [
        (kohya_lora(1024), "sd2", 1024, ("unet",)),
        (kohya_lora(256, outputs=96), "sd1", 256, ("unet",)),
        (sdxl_sgm(), "sdxl", 2048, ("unet",)),
        ({**kohya_lora(), **text_encoder("lora_te_", 768)}, "sd1", 768, ("te", "unet")),
        ({**kohya_lora(), **text_encoder("lora_te1_", 768)}, "sd1", 768, ("te", "unet")),
        ({**text_encoder("lora_te1_", 768), **text_encoder("lora_te2_", 1280)}, "sdxl", None, ("te", "te2")),
        (text_encoder("lora_te_", 1024), "sd2", None, ("te",)),
        (text_encoder("lora_te_", 768), "unknown", None, ("te",)),
    ],
)
def test_shapes_tell_the_family(tmp_path, tensors, family, width, targets):
    info = info_of(tmp_path, tensors)
    assert (info.family, info.cross_attention_dim, info.targets) == (family, width, targets)
    assert (info.reason, info.notes) == (None, [])


@pytest.mark.parametrize(
    "metadata",
    [{"modelspec.architecture": "stable-diffusion-v1/lora"}, {"ss_base_model_version": "sd_v1"}],
)
def test_metadata_tell_the_family_where_shapes_leave_it_open(tmp_path, metadata):
    assert info_of(tmp_path, text_encoder("lora_te_", 768), metadata).family == "sd1"


def test_shapes_win_over_the_metadata_and_it_is_said(tmp_path):
    info = info_of(tmp_path, kohya_lora(), {"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"})
    assert info.family == "sd1"
    assert "'stable-diffusion-xl-v1-base/lora'" in info.notes[0]


def old_text_encoder():
    path = "text_encoder.text_model.encoder.layers.0.self_attn"
    return {
        **pair(f"{path}.to_q_lora.down.weight", f"{path}.to_q_lora.up.weight", 4, 768, 768),
        **pair(
            f"{path}.k_proj.lora_linear_layer.down.weight",
            f"{path}.k_proj.lora_linear_layer.up.weight",
            4,
            768,
            768,
        ),
    }


def test_both_spellings_of_diffusers_text_encoders(tmp_path):
    info = info_of(tmp_path, old_text_encoder())
    layer = "te.text_model_encoder_layers_0_self_attn"
    assert set(info.modules) == {f"{layer}_q_proj", f"{layer}_k_proj"}
    assert info.reason is None


def test_sgm_names_are_told_in_diffusers_spelling(tmp_path):
    assert set(info_of(tmp_path, sdxl_sgm()).modules) == {
        "unet.down_blocks_1_attentions_0_transformer_blocks_1_attn2_to_k"
    }


ONE = "lora_unet_mid_block_attentions_0_proj_in"


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({f"{ONE}.hada_w1_a": ("F16", (8, 4))}, "is a LoHa"),
        ({f"{ONE}.lokr_w1": ("F16", (8, 4))}, "is a LoKr"),
        ({**kohya_lora(), f"{ONE}.dora_scale": ("F16", (8, 1))}, "is a DoRA"),
        ({f"{ONE}.lora_magnitude_vector": ("F16", (8,))}, "is a DoRA"),
        ({f"{ONE}.oft_blocks": ("F16", (8, 4, 4))}, "is a OFT"),
        ({**kohya_lora(), "bundle_emb.toy.string_to_param.*": ("F16", (2, 768))}, "bundled embeddings"),
        ({f"{ONE}.diff": ("F16", (8, 8))}, "full-difference"),
        ({**kohya_lora(), f"{ONE}.lora_mid.weight": ("F16", (4, 4, 3, 3))}, "Tucker"),
        (sd1_file(), "is a whole model; add it with `models add`"),
        ({"emb_params": ("F16", (2, 768))}, "textual inversion"),
        ({"lora_unet_double_blocks_0_img_attn_proj.lora_down.weight": ("F16", (4, 8))}, "was made for Flux"),
        ({"transformer.single_transformer_blocks.0.x.lora_A.weight": ("F16", (4, 8))}, "was made for Flux"),
        ({"lora_unet_joint_blocks_0_x.lora_down.weight": ("F16", (4, 8))}, "Stable Diffusion 3"),
        ({"weights": ("F16", (4, 8))}, "holds no LoRA layers"),
        ({**kohya_lora(), "stray": ("F16", (4,))}, "no part of a LoRA, such as 'stray'"),
        ({f"{ONE}.lora_down.weight": ("F16", (4, 8))}, "only one of its two matrices"),
        ({f"{ONE}.alpha": ("F16", ())}, "only one of its two matrices"),
        (
            {f"{ONE}.lora_down.weight": ("F16", (4, 8)), f"{ONE}.lora_up.weight": ("F16", (8, 5))},
            "unlike rank, 4 and 5",
        ),
        (
            {f"{ONE}.lora_down.weight": ("F16", (0, 8)), f"{ONE}.lora_up.weight": ("F16", (8, 0))},
            "unlike rank, 0 and 0",
        ),
        (
            {f"{ONE}.lora_down.weight": ("F16", (4, 8, 1)), f"{ONE}.lora_up.weight": ("F16", (8, 4))},
            "unlike form",
        ),
        ({f"{ONE}.lora_down.weight": ("F16", ()), f"{ONE}.lora_up.weight": ("F16", ())}, "unlike form"),
        (pair(f"{ONE}.lora_down.weight", f"{ONE}.lora_up.weight", 513, 2, 2), "rank 513; the limit is 512"),
        ({**kohya_lora(alpha=float("nan"))}, "not one finite number"),
        ({**kohya_lora(alpha=None), f"{ONE}.alpha": ("F16", (2,))}, "only one of its two"),
        (kohya_lora(1280), "SDXL refiner"),
    ],
)
def test_what_cannot_be_loaded_is_refused_by_its_name(tmp_path, tensors, words):
    reason = reason_of(info_of(tmp_path, tensors))
    assert words in reason
    assert reason.startswith("toy.safetensors ")


def test_layers_of_two_families_in_one_file_are_refused(tmp_path):
    path = "lora_unet_up_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    tensors = {**kohya_lora(), **pair(f"{path}.lora_down.weight", f"{path}.lora_up.weight", 4, 2048, 640)}
    assert "widths 768, 2048" in reason_of(info_of(tmp_path, tensors))


def test_a_pickle_is_unusable_not_an_exception(tmp_path):
    (tmp_path / "toy.safetensors").write_bytes(b"\x80\x02}q\x00.")
    assert "pickles can run code" in reason_of(detect_lora(tmp_path / "toy.safetensors"))


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"modelspec.trigger_phrase": "toy cat, , plush , toy cat"}, ["toy cat", "plush"]),
        (
            {
                "ss_tag_frequency": json.dumps({"10_toy": {"toycat": 20, "red": 3, " plush": 19}}),
                "ss_dataset_dirs": json.dumps({"10_toy": {"n_repeats": 10, "img_count": 20}}),
            },
            ["toycat", "plush"],
        ),
        ({"ss_tag_frequency": json.dumps({"a": {"one": 5}, "b": {"one": 5, "two": 5}})}, ["one"]),
        ({"ss_tag_frequency": "[" * 3000}, []),
        ({"ss_tag_frequency": json.dumps({"a": 1, "b": {"one": "many"}})}, []),
        ({}, []),
    ],
)
def test_trigger_words_come_from_the_metadata(tmp_path, metadata, words):
    assert info_of(tmp_path, kohya_lora(), metadata).trigger_words == words


def test_notes_beside_the_file_tell_words_and_weight(tmp_path):
    path = write(tmp_path / "toy.safetensors", kohya_lora())
    (tmp_path / "toy.json").write_text('{"activation text": "toy style, ink", "preferred weight": 0.7}')
    info = detect_lora(path)
    assert (info.trigger_words, info.default_weight) == (["toy style", "ink"], 0.7)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"preferred weight": 0}', '{"preferred weight": 99}', "\xff"])
def test_bad_notes_beside_the_file_tell_nothing(tmp_path, text):
    path = write(tmp_path / "toy.safetensors", kohya_lora())
    (tmp_path / "toy.json").write_bytes(text.encode("latin-1"))
    assert detect_lora(path).default_weight is None


def test_title_and_metadata_are_cut_to_a_page(tmp_path):
    metadata = {f"ss_key_{number:03}": "x" * 10_000 for number in range(200)}
    metadata |= {
        "modelspec.title": "Toy \0cat" + "y" * 900,
        "ss_tag_frequency": "{}",
        "modelspec.thumbnail": "data:",
    }
    info = info_of(tmp_path, kohya_lora(), metadata)
    assert info.title.startswith("Toy caty")
    assert len(info.title) <= 200
    assert len(info.metadata) == 64
    assert max(map(len, info.metadata.values())) == 500
    assert not info.metadata.keys() & {"ss_tag_frequency", "modelspec.thumbnail"}
