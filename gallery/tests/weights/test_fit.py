import dataclasses
from pathlib import Path

import pytest

from gallery.tests.weights.builders import kohya_lora, model_folder, pair, sd1_file, write
from gallery.weights import ModelInfo, detect_lora, detect_model, lora_fits

STARTER = Path(__file__).parents[3] / "models" / "starter"


def lora(tmp_path, tensors):
    return detect_lora(write(tmp_path / "toy.safetensors", tensors))


def starter_lora():
    layer, (outputs, width) = next(
        item for item in detect_model(STARTER).modules.items() if item[0].endswith("attn2_to_k")
    )
    name = layer.replace("unet.", "lora_unet_")
    return pair(f"{name}.lora_down.weight", f"{name}.lora_up.weight", 8, width, outputs)


def test_a_lora_of_the_starter_fits_the_starter(tmp_path):
    assert lora_fits(lora(tmp_path, starter_lora()), detect_model(STARTER)) is None


def test_a_lora_fits_a_model_of_its_shapes(tmp_path):
    assert lora_fits(lora(tmp_path, kohya_lora()), detect_model(model_folder(tmp_path / "m"))) is None


@pytest.mark.parametrize(("width", "described"), [(768, "SD 1"), (1024, "SD 2"), (2048, "SDXL")])
def test_a_lora_of_another_family_says_whose_it_is(tmp_path, width, described):
    model = detect_model(STARTER)
    assert lora_fits(lora(tmp_path, kohya_lora(width)), model) == (
        f"This LoRA was made for {described} (cross-attention width {width}); the model 'starter' is an"
        f" SD 1 model of width {model.cross_attention_dim}."
    )


def test_layers_are_compared_one_by_one(tmp_path):
    model = detect_model(model_folder(tmp_path / "m"))
    assert lora_fits(lora(tmp_path, kohya_lora(outputs=96)), model) == (
        "This LoRA's layer down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q maps 96 to 96 numbers;"
        " in the model 'm' it maps 320 to 320."
    )
    extra = pair("lora_unet_mid_block_x.lora_down.weight", "lora_unet_mid_block_x.lora_up.weight", 4, 8, 8)
    reason = lora_fits(lora(tmp_path, {**kohya_lora(), **extra}), model)
    assert reason == "This LoRA changes the layer mid_block_x, which the model 'm' doesn't have."


def test_a_second_text_encoder_fits_no_sd_1_model(tmp_path):
    path = "lora_te2_text_model_encoder_layers_0_mlp_fc1"
    second = pair(f"{path}.lora_down.weight", f"{path}.lora_up.weight", 4, 1280, 5120)
    reason = lora_fits(lora(tmp_path, {**kohya_lora(), **second}), detect_model(model_folder(tmp_path / "m")))
    assert reason == "This LoRA changes a second text encoder, which the model 'm' doesn't have."


def test_family_and_width_alone_are_enough_to_say_no(tmp_path):
    found = lora(tmp_path, kohya_lora())
    model = ModelInfo("base", "file", family="sd1", cross_attention_dim=768)
    assert lora_fits(found, model) is None
    assert lora_fits(found, dataclasses.replace(model, family="sd2", cross_attention_dim=1024)) == (
        "This LoRA was made for SD 1 (cross-attention width 768); the model 'base' is an SD 2 model of width 1024."
    )


def test_an_unusable_lora_fits_nothing(tmp_path):
    found = lora(tmp_path, {"weights": ("F16", (4, 8))})
    assert lora_fits(found, detect_model(STARTER)) == found.reason


def test_kohya_s_names_fit_a_single_file(tmp_path):
    """SD 1 LoRAs have diffusers' names, SD 1 files the original ones."""
    layer = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    found = lora(tmp_path, pair(f"{layer}.lora_down.weight", f"{layer}.lora_up.weight", 4, 768, 8))
    assert lora_fits(found, detect_model(write(tmp_path / "m.safetensors", sd1_file()))) is None
