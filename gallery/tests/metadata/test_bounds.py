"""Hostile files cost little and end in nothing or in a part, never in an exception."""

import json
import struct
import time
import tracemalloc
import zlib
from typing import Any

import pytest

from gallery.metadata import GenerationParameters, read_metadata
from gallery.metadata.values import as_float, as_int, as_text, load_object, stem
from gallery.tests.metadata import builders as b

SETTINGS = "\nSteps: 20, Sampler: Euler, Seed: 1"


def measured(work):
    """(answer, seconds, peak bytes)."""
    tracemalloc.start()
    started = time.perf_counter()
    answer = work()
    seconds = time.perf_counter() - started
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return answer, seconds, peak


def bomb(size):
    packer = zlib.compressobj(9)
    piece = bytes(1_000_000)
    return b"".join(packer.compress(piece) for _ in range(size // len(piece))) + packer.flush()


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_a_compressed_text_that_grows_without_end_is_given_up(kind):
    """100 MB of text in 100 kB."""
    head = b"parameters\0\0" if kind == b"zTXt" else b"parameters\0\1\0\0\0"
    data = b.png(b.chunk(kind, head + bomb(100_000_000)), b.text("parameters", "cat" + SETTINGS))
    found, _, peak = measured(lambda: read_metadata(data))
    assert found.parameters.prompt == "cat"
    assert peak < 8_000_000


def test_thousands_of_compressed_texts_are_not_all_inflated():
    piece = bomb(1_000_000)
    data = b.png(*(b.chunk(b"zTXt", b"k%d\0\0" % n + piece) for n in range(5_000)))
    started = time.process_time()
    assert read_metadata(data) is None
    assert time.process_time() - started < 1.0


def test_exif_entries_that_share_one_long_value_are_not_all_decoded():
    long = b"UNICODE\0" + b"x" * 500_000
    rows = b"".join(struct.pack(">HHII", 0x9286, 7, len(long), 8 + 2 + 12 * 250 + 4) for _ in range(250))
    exif = b"MM\0*\0\0\0\x08" + struct.pack(">H", 250) + rows + bytes(4) + long
    data = b.png(*(b.chunk(b"eXIf", exif) for _ in range(8)))
    started = time.process_time()
    read_metadata(data)
    assert time.process_time() - started < 2.0


def test_a_gif_of_endless_tiny_blocks_ends():
    data = b.picture("GIF")[:-1] + b"!\xfe" + b"\x01x" * 3_000_000
    started = time.process_time()
    read_metadata(data)
    assert time.process_time() - started < 2.0


def test_texts_are_kept_up_to_their_limits():
    long = "x" * 262_145
    assert read_metadata(b.png(b.text("parameters", long + SETTINGS))) is None
    fits = "x" * (262_144 - len(SETTINGS)) + SETTINGS
    assert b.found_in(b.png(b.text("parameters", fits))).parameters.steps == 20
    graph = json.dumps({**b.comfyui_graph(), "note": b.node("Note", text="y" * 500_000)})
    assert b.found_in(b.png(b.text("prompt", graph))).parameters.seed == 42
    assert read_metadata(b.png(b.text("prompt", graph + " " * 600_000))) is None


def test_all_texts_together_have_a_limit():
    many = [b.text(f"k{number}", "z" * 200_000) for number in range(20)]
    data = b.png(b.text("parameters", "cat" + SETTINGS), *many)
    found, _, peak = measured(lambda: read_metadata(data))
    assert sum(map(len, found.raw.values())) <= 1_048_576
    assert len(found.raw) == 6
    assert peak < 3_000_000


def test_a_picture_s_other_data_is_passed_over(tmp_path):
    """A chunk of 1 GB that is not there, and one that is and is skipped."""
    path = tmp_path / "x.png"
    with path.open("wb") as file:
        file.write(b.PNG + struct.pack(">I", 900_000_000) + b"junk")
        file.seek(900_000_000 + 4, 1)
        file.write(b.text("parameters", "cat" + SETTINGS))
    found, _, peak = measured(lambda: read_metadata(path))
    assert found.parameters.prompt == "cat"
    assert peak < 1_000_000
    assert read_metadata(b.PNG + struct.pack(">I", 2**32 - 1) + b"tEXt" + b"parameters\0x") is None


SLOW = {
    "lora tags": "<lora:" * 40_000 + SETTINGS,
    "open quotes": 'cat\nSteps: "' + '\\"' * 120_000,
    "quotes": "cat\nSteps: 1, " + '"' * 250_000,
    "brackets": "cat\nSteps: 1, Seed: 1, x: " + "[{" * 120_000,
    "colons": "cat\n" + ":" * 260_000,
    "commas": "cat\n" + "a: 1," * 50_000,
    "negatives": "\nNegative prompt:" * 15_000 + SETTINGS,
    "steps lines": "\nSteps: " * 30_000,
    "hashes": 'cat\nSteps: 1, Seed: 1, Lora hashes: "' + "a: b, " * 40_000 + '"',
    "spaces": "cat\nSteps:" + " " * 260_000,
    "json": "{" * 200_000,
}


@pytest.mark.parametrize("name", SLOW)
def test_texts_made_to_be_slow_are_quick(name):
    data = b.png(b.text("parameters", SLOW[name]))
    started = time.process_time()
    read_metadata(data)
    assert time.process_time() - started < 1.0


def chain(length, **last):
    graph = {str(n): b.node("Reroute", model=[str(n + 1), 0], positive=[str(n + 1), 0]) for n in range(length)}
    sampler = {"seed": 1, "steps": 2, "cfg": 3, "model": ["0", 0], "positive": ["0", 0], **last}
    return {**graph, "s": b.node("KSampler", **sampler)}


def loop():
    graph = b.comfyui_graph()
    graph["4"]["inputs"]["model"] = ["11", 0]
    graph["6"]["inputs"]["text"] = ["6", 0]
    graph["5"]["inputs"] = {"width": ["5", 0], "height": ["3", 0], "latent": ["3", 0]}
    return graph


def dense():
    """Every node drawing on every other along each name that a walk follows."""
    names = (
        "model",
        "positive",
        "text",
        "conditioning",
        "latent_image",
        "samples",
        "noise",
        "guider",
        "sigmas",
    )
    inputs = {name: [str((n * 7) % 400), 0] for n, name in enumerate(names)}
    graph = {
        str(n): b.node(
            "KSampler",
            **{**inputs, "seed": [str((n + 1) % 400), 0], "steps": [str((n + 3) % 400), 0], "cfg": 1},
        )
        for n in range(400)
    }
    return {**graph, "out": b.node("SaveImage", images=["0", 0])}


@pytest.mark.parametrize(
    "graph",
    [
        chain(4_000),
        loop(),
        dense(),
        {"s": b.node("KSampler", seed=["s", 0], steps=["s", 0], cfg=["s", 0], positive=["s", 0])},
        {"s": b.node("KSampler", seed={}, steps=[], cfg=[1, 2, 3], positive=[[], 0], model=[{}, 0])},
        {"s": {"class_type": ["KSampler"], "inputs": {"seed": 1, "steps": True, "cfg": "x"}}},
        {str(n): b.node("KSampler", seed=n, steps=1, cfg=1) for n in range(9_000)},
        {"nodes": 5, "links": {}, "s": None},
    ],
)
def test_graphs_made_to_be_slow_are_quick(graph):
    text = json.dumps(graph)
    started = time.process_time()
    for key in ("prompt", "workflow"):
        read_metadata(b.png(b.text(key, text)))
    assert time.process_time() - started < 2.0


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"a":' * 100 + "1" + "}" * 100])
def test_deep_json_is_refused(text):
    assert load_object(text) is None


def test_wide_json_is_refused():
    assert load_object('{"a": [' + "0," * 300_000 + "0]}") is None
    assert load_object('{"a": ' + "9" * 5_000 + "}") is None


def test_json_becomes_storable():
    """PostgreSQL refuses NUL in texts and NaN in JSON; UTF-8 has no lone surrogates."""
    found = load_object(r'{"a": "x\u0000y", "b": "\ud800", "\u0000k": [NaN, -Infinity, 1e999, 1]}')
    assert found == {"a": "xy", "b": "?", "k": [None, None, None, 1]}
    assert json.dumps(found, allow_nan=False)


def test_raw_texts_are_storable():
    found = b.found_in(b.png(b.text("parameters", "a\0b" + SETTINGS)))
    assert found.raw["parameters"] == "ab" + SETTINGS


@pytest.mark.parametrize(
    ("value", "whole", "fraction"),
    [
        (7, 7, 7.0), ("7", 7, 7.0), ("-7", -7, -7.0), (7.0, 7, 7.0), ("7.0", 7, 7.0), (7.5, None, 7.5),
        (True, None, None), (None, None, None), ("", None, None), ("x", None, None), ([], None, None),
        (float("nan"), None, None), (float("inf"), None, None), (2**70, None, None), ("9" * 30, None, None),
        ("٧", None, 7.0), ("1e3", None, 1000.0), ("9" * 5_000, None, None), (10**400, None, None),
    ],
)  # fmt: skip
def test_numbers_from_anything(value: Any, whole, fraction):
    assert as_int(value) == whole
    assert as_float(value) == fraction


def test_texts_from_anything():
    values: list[Any] = ["a", 1, 1.5, True, None, [], {}]
    assert [as_text(value) for value in values] == ["a", "1", "1.5", "", "", "", ""]
    assert as_text("abc", 2) == "ab"
    assert stem("C:\\models\\SDXL/base.v2.Safetensors") == "base.v2"
    assert stem("name.v1") == "name.v1"
    assert stem({}) == ""


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"prompt": None, "seed": "x", "steps": -1, "width": 0, "loras": 5, "extra": [], "source": {}},
        {"loras": [1, {"name": ""}, {"name": "a", "weight": "nan"}], "extra": {"a": {}, "b": 1}},
    ],
)
def test_stored_parameters_of_the_wrong_kind_count_as_not_given(data):
    params = GenerationParameters.from_json(data)
    assert (params.prompt, params.seed, params.steps, params.source) == ("", None, None, "imagineer")
    assert [lora.weight for lora in params.loras] in ([], [1.0])


@pytest.mark.parametrize(
    "note",
    [
        '{"format": "imagineer"}',
        '{"format": "imagineer", "parameters": []}',
        '{"format": "other", "parameters": {"prompt": "x"}}',
        "[]",
        "{",
    ],
)
def test_a_forged_document_is_no_document(note):
    assert read_metadata(b.png(b.text("imagineer", note))) is None


def test_a_long_walk_through_lora_tags_keeps_only_so_many():
    params = b.found_in(
        b.png(b.text("parameters", "".join(f"<lora:l{n}:1>" for n in range(500)) + SETTINGS))
    ).parameters
    assert len(params.loras) == 64
    assert params.prompt == ""
