"""Each program's own form, in each of the places where it puts it."""

import json

import pytest

from gallery.metadata import LoraUse, read_metadata
from gallery.tests.metadata import builders as b


def of_text(value, key="parameters"):
    return b.found_in(b.png(b.text(key, value)))


def test_a1111():
    found = of_text(b.A1111)
    params = found.parameters
    assert found.source == params.source == "a1111"
    assert found.raw == {"parameters": b.A1111}
    assert found.document is None
    assert params.prompt == 'masterpiece, (cat:1.2), a sign: "hello"\nsecond line'
    assert params.negative_prompt == "blurry, low quality\nmore of it"
    assert (params.seed, params.steps, params.guidance, params.clip_skip) == (0, 30, 7.5, 2)
    assert (params.width, params.height, params.sampler) == (832, 1216, "DPM++ 2M Karras")
    assert (params.model_name, params.model_hash, params.strength) == ("sd_xl_base_1.0", "31e35c80fc", 0.4)
    assert params.loras == (LoraUse("toy", 0.8, "0123456789ab"), LoraUse("ink style", -0.5, "ba9876543210"))
    assert params.upscale == 2.0
    assert params.extra == {"Version": "v1.10.1", "ENSD": "31337", "RNG": "CPU", "TI hashes": "a: 1, b: 2"}


SETTINGS = "Steps: 20, Sampler: Euler, Seed: 1"


@pytest.mark.parametrize(
    ("text", "prompt", "negative"),
    [
        (f"cat\n{SETTINGS}", "cat", ""),
        (f"cat\r\nNegative prompt: dog\r\n{SETTINGS}", "cat", "dog"),
        (f"Negative prompt: dog\n{SETTINGS}", "", "dog"),
        (SETTINGS, "", ""),
        (f"cat\n{SETTINGS}\nTemplate: a, b\nNegative Template: c", "cat", ""),
        ("cat\nNegative prompt: dog", "cat", "dog"),
        (f"Steps: a ladder\n{SETTINGS}", "Steps: a ladder", ""),
        (f"cat <lora:open and on\n{SETTINGS}", "cat <lora:open and on", ""),
        (f"<lora:toy>cat\n{SETTINGS}", "cat", ""),
        (f"喵 \n{SETTINGS}", "喵", ""),
    ],
)
def test_a1111_s_text_is_split_at_its_marks(text, prompt, negative):
    params = b.found_in(b.png(b.itext("parameters", text))).parameters
    assert (params.prompt, params.negative_prompt) == (prompt, negative)


@pytest.mark.parametrize(
    "text",
    ["", "a caption", "Camera: X100, Lens: 23mm, ISO: 200", "Steps: 20", "{", '{"a": 1}', "a: b, c: d, e: f"],
)
def test_other_texts_are_no_parameters(text):
    assert read_metadata(b.png(b.text("parameters", text))) is None


def test_civitai_s_lists_do_not_break_the_line():
    resources = '[{"type":"lora","weight":0.8,"modelVersionId":123,"air":"urn:air:sdxl:lora:civitai:3@4"}]'
    hashes = '{"model": "aabb", "lora:toy": "cc"}'
    text = f"cat\nSteps: 20, Civitai resources: {resources}, Hashes: {hashes}, Seed: 5"
    params = of_text(text.replace("cat", "cat <lora:toy:1>")).parameters
    assert (params.seed, params.model_hash, params.loras) == (5, "aabb", (LoraUse("toy", 1.0, "cc"),))
    assert params.extra["Civitai resources"] == resources


def test_comfyui():
    found = of_text(json.dumps(b.comfyui_graph()), "prompt")
    params = found.parameters
    assert found.source == "comfyui"
    assert (params.prompt, params.negative_prompt) == ("a castle on a hill", "blurry")
    assert (params.seed, params.steps, params.guidance) == (42, 25, 6.5)
    assert (params.width, params.height, params.sampler) == (1024, 768, "DPM++ 2M Karras")
    assert (params.model_name, params.clip_skip, params.strength) == ("sd_xl_base_1.0", 2, None)
    assert params.loras == (LoraUse("ink", 0.7), LoraUse("toy", -0.3))


def test_comfyui_s_split_samplers():
    params = of_text(json.dumps(b.custom_sampler_graph()), "prompt").parameters
    assert (params.prompt, params.negative_prompt) == ("a fox in snow", "")
    assert (params.seed, params.steps, params.sampler) == (99, 20, "Euler a")
    assert (params.width, params.height, params.model_name) == (1024, 1024, "flux1-dev")


def test_comfyui_s_workflow_stands_in_for_its_graph():
    found = of_text(json.dumps(b.comfyui_workflow()), "workflow")
    params = found.parameters
    assert (params.prompt, params.negative_prompt, params.model_name) == ("a boat", "ugly", "v1-5")
    assert (params.seed, params.steps, params.guidance, params.sampler) == (42, 25, 6.5, "Euler")
    assert (params.width, params.height) == (512, 640)


def graph_with(**nodes):
    return json.dumps({**b.comfyui_graph(), **nodes})


def test_comfyui_s_picture_to_picture_has_a_strength():
    graph = b.comfyui_graph()
    graph["5"] = b.node("VAEEncode", pixels=["15", 0], vae=["4", 2])
    graph["15"] = b.node("LoadImage", image="in.png")
    graph["3"]["inputs"]["denoise"] = 0.55
    graph["8"]["inputs"]["samples"] = ["3", 0]
    params = of_text(json.dumps(graph), "prompt").parameters
    assert (params.strength, params.seed, params.width) == (0.55, 42, None)


def test_comfyui_s_combined_prompts_are_joined():
    both = b.node("ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["31", 0])
    nodes = {"31": b.node("CLIPTextEncodeSDXL", text_g="at dawn", text_l="at dawn"), "30": both}
    graph = {**b.comfyui_graph(), **nodes}
    graph["3"]["inputs"]["positive"] = ["30", 0]
    assert of_text(json.dumps(graph), "prompt").parameters.prompt == "a castle on a hill\nat dawn"


def test_comfyui_s_control_nets_keep_the_prompts_apart():
    apply = b.node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0], strength=1.0)
    graph = {**b.comfyui_graph(), "30": apply}
    graph["3"]["inputs"] |= {"positive": ["30", 0], "negative": ["30", 1]}
    params = of_text(json.dumps(graph), "prompt").parameters
    assert (params.prompt, params.negative_prompt) == ("a castle on a hill", "blurry")


def test_comfyui_s_custom_loaders():
    power = b.node(
        "Power Lora Loader (rgthree)",
        lora_1={"on": True, "lora": "a.safetensors", "strength": 0.4},
        lora_2={"on": False, "lora": "b.safetensors", "strength": 1},
        model=["16", 0],
    )
    stack = b.node("LoRA Stacker", lora_name_1="c.safetensors", lora_wt_1=0.6, lora_name_2="None", lora_wt_2=1.0)
    loader = b.node(
        "Efficient Loader",
        ckpt_name="base.safetensors",
        positive="a moon",
        negative="sun",
        empty_latent_width=640,
        empty_latent_height=384,
        lora_stack=["17", 0],
    )
    sampler = b.node(
        "KSampler (Efficient)", seed=1, steps=9, cfg=2, sampler_name="uni_pc", scheduler="normal", denoise=1,
        model=["15", 0], positive=["16", 1], negative=["16", 2], latent_image=["16", 3],
    )  # fmt: skip
    graph = {"14": sampler, "15": power, "16": loader, "17": stack}
    params = of_text(json.dumps(graph), "prompt").parameters
    assert (params.prompt, params.negative_prompt, params.model_name) == ("a moon", "sun", "base")
    assert (params.width, params.height, params.sampler, params.seed) == (640, 384, "UniPC", 1)
    assert set(params.loras) == {LoraUse("a", 0.4), LoraUse("c", 0.6)}


def test_comfyui_s_bare_nan_is_read():
    text = json.dumps(b.comfyui_graph()).replace('"cfg": 6.5', '"cfg": NaN, "is_changed": [Infinity, -Infinity]')
    params = of_text(text, "prompt").parameters
    assert (params.guidance, params.steps) == (None, 25)


def test_comfyui_beside_a1111_s_text_is_comfyui():
    data = b.png(b.text("parameters", b.A1111), b.text("prompt", json.dumps(b.comfyui_graph())))
    found = b.found_in(data)
    assert (found.source, found.parameters.source, found.parameters.steps) == ("comfyui", "comfyui", 30)


def test_comfyui_s_animated_png_and_webp():
    graph = json.dumps(b.comfyui_graph())
    animated = b.png(after=(b.chunk(b"comf", b"prompt\0" + graph.encode()),))
    tags = ((0x010F, b"workflow:{}\0"), (0x0110, b"prompt:" + graph.encode() + b"\0"))
    for data in (animated, b.with_exif("WEBP", b.exif("<", main=tags))):
        found = b.found_in(data)
        assert (found.source, found.parameters.seed, found.raw["prompt"]) == ("comfyui", 42, graph)


def test_invokeai():
    found = of_text(b.INVOKEAI, "invokeai_metadata")
    params = found.parameters
    assert (found.source, params.prompt, params.negative_prompt) == ("invokeai", "a red boat", "fog")
    assert (params.seed, params.steps, params.guidance, params.clip_skip) == (123456, 30, 7.5, None)
    assert (params.width, params.height, params.sampler) == (1024, 768, "DPM++ 2M Karras")
    assert (params.model_name, params.model_hash) == ("Dreamshaper XL", "blake3:0a1b")
    assert params.loras == (LoraUse("ink", 0.75, "blake3:ff"),)
    assert params.extra == {"generation_mode": "sdxl_txt2img", "rand_device": "cpu", "app_version": "5.0.0"}


def test_invokeai_2():
    params = of_text(b.INVOKEAI_2, "sd-metadata").parameters
    assert (params.prompt, params.seed, params.steps, params.sampler) == ("a boat", 7, 50, "Euler a")
    assert (params.model_name, params.model_hash) == ("stable-diffusion-1.5", "cc6cb27103417325")


@pytest.mark.parametrize("place", ["png", "jpeg"])
def test_swarmui(place):
    comment = ((0x9286, b"UNICODE\0" + b.SWARMUI.encode("utf-16-be")),)
    data = b.png(b.text("parameters", b.SWARMUI)) if place == "png" else b.with_exif("JPEG", b.exif(inner=comment))
    found = b.found_in(data)
    params = found.parameters
    assert (found.source, params.prompt, params.negative_prompt) == ("swarmui", "a cat", "dog")
    assert (params.seed, params.steps, params.guidance, params.width, params.height) == (
        77,
        20,
        7.0,
        1024,
        576,
    )
    assert (params.model_name, params.model_hash) == ("sd_xl_base_1.0", "ab" * 32)
    assert (params.sampler, params.loras) == ("DPM++ 2M Karras", (LoraUse("toy", 0.5, "cd" * 32),))
    assert params.extra["swarm_version"] == "0.9.3.1"


def test_swarmui_before_it_had_its_own_samplers():
    text = b.SWARMUI.replace('"sampler"', '"comfyuisampler"').replace('"scheduler"', '"comfyuischeduler"')
    assert of_text(text).parameters.sampler == "DPM++ 2M Karras"


def fooocus_exif(text, scheme):
    """Fooocus puts the tags of the Exif directory into the main one, without a charset."""
    tags = ((0x0131, b"Fooocus v2.5.5\0"), (0x927C, scheme + b"\0"), (0x9286, text.encode() + b"\0"))
    return b.exif("<", main=tags)


@pytest.mark.parametrize("place", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("scheme", ["fooocus", "a1111"])
def test_fooocus(place, scheme):
    text = b.FOOOCUS if scheme == "fooocus" else b.FOOOCUS_A1111
    if place == "png":
        data = b.png(b.text("fooocus_scheme", scheme), b.text("parameters", text))
    else:
        data = b.with_exif(place.upper(), fooocus_exif(text, scheme.encode()))
    found = b.found_in(data)
    params = found.parameters
    assert (found.source, params.source, params.prompt, params.negative_prompt) == (
        "fooocus", "fooocus", "a lamp", "worst",
    )  # fmt: skip
    assert (params.seed, params.steps, params.guidance, params.width, params.height) == (
        4242,
        30,
        4.0,
        1152,
        896,
    )
    assert (params.sampler, params.model_hash) == ("DPM++ 2M SDE Karras", "aeb7e9e689")
    assert (params.loras[0].weight, params.loras[0].hash) == (0.1, "4852686128")


def test_fooocus_before_it_listed_loras():
    data = {key: value for key, value in json.loads(b.FOOOCUS).items() if key != "loras"}
    loras = of_text(json.dumps(data)).parameters.loras
    assert loras == (LoraUse("sd_xl_offset_example-lora_1.0", 0.1),)
