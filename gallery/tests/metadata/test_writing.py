"""What Imagineer writes is what it and other programs read."""

import io
import json
import tomllib
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from gallery.metadata import (
    GenerationParameters,
    LoraUse,
    a1111_text,
    document_text,
    exif_bytes,
    png_chunks,
    xmp_packet,
)
from gallery.metadata.a1111 import VERSION
from gallery.metadata.infotext import parse_infotext
from gallery.metadata.samplers import join_schedule, split_schedule
from gallery.tests.metadata import builders as b

PARAMS = GenerationParameters(
    prompt="red heart, 3d style",
    negative_prompt="blurry",
    seed=0,
    steps=20,
    sampler="DPM++ 2M Karras",
    guidance=0.0,
    width=64,
    height=64,
    model_name="starter",
    model_hash="ab" * 32,
    loras=(LoraUse("toy", 0.8, hash="cd" * 32, sha256="ef" * 32), LoraUse("ink, bold", -1.0)),
    upscale=4,
)


def saved(form, **options):
    return b_of(Image.new("RGB", (8, 8)), form, **options)


def b_of(picture, form, **options):
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def test_a1111_s_text_to_the_letter():
    assert a1111_text(PARAMS) == (
        "red heart, 3d style <lora:toy:0.8><lora:ink_ bold:-1>\n"
        "Negative prompt: blurry\n"
        "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 0, Seed: 0, Size: 64x64, "
        "Model hash: ababababab, Model: starter, Postprocess upscale by: 4, "
        f'Lora hashes: "toy: cdcdcdcdcdcd", Version: Imagineer {VERSION}'
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        ("a, b", '"a, b"'),
        ("a: b", '"a: b"'),
        ("a\nb", '"a\\nb"'),
        ("ü", "ü"),
        ('"x', '"\\"x"'),
    ],
)
def test_values_are_quoted_as_a1111_quotes_them(value, written):
    text = a1111_text(GenerationParameters("p", steps=1, seed=1, model_name=value))
    assert f"Model: {written}, Version" in text
    assert b.found_in(b.png(b.itext("parameters", text))).parameters.model_name == value


def test_what_is_not_known_is_left_out():
    assert a1111_text(GenerationParameters("cat")) == f"cat\nVersion: Imagineer {VERSION}"


def test_other_programs_settings_are_kept_but_never_double():
    params = GenerationParameters("cat", steps=5, extra={"RNG": "CPU", "Steps": "9", "bad:key": "x", "Version": "v1"})
    assert a1111_text(params) == f"cat\nSteps: 5, RNG: CPU, Version: Imagineer {VERSION}"


def test_a_png_carries_all_three():
    data = saved("PNG", pnginfo=png_chunks(PARAMS, {"model": {"sha256": "ab" * 32}, "job": "é"}))
    found = b.found_in(data)
    assert (found.source, found.parameters) == ("imagineer", PARAMS)
    assert found.document == {
        "model": {"sha256": "ab" * 32},
        "job": "é",
        "format": "imagineer",
        "version": 1,
        "parameters": PARAMS.to_json(),
    }
    with Image.open(io.BytesIO(data)) as picture:
        assert isinstance(picture, PngImageFile)
        assert picture.text["parameters"] == found.raw["parameters"] == a1111_text(PARAMS)
        assert json.loads(picture.text["imagineer"]) == found.document
        assert "trainedAlgorithmicMedia" in picture.text["XML:com.adobe.xmp"]


@pytest.mark.parametrize(("prompt", "kind"), [("cat", b"tEXt"), ("café", b"iTXt"), ("猫", b"iTXt")])
def test_a_text_beyond_ascii_is_international(prompt, kind):
    data = saved("PNG", pnginfo=png_chunks(GenerationParameters(prompt)))
    assert kind + b"parameters\0" in data
    assert b"tEXtimagineer\0" in data


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "AVIF"])
def test_exports_carry_the_same(form):
    data = saved(form, exif=exif_bytes(PARAMS, {"job": 1}), xmp=xmp_packet())
    found = b.found_in(data)
    assert found.document is not None
    assert (found.parameters, found.document["job"]) == (PARAMS, 1)
    assert found.raw["UserComment"] == a1111_text(PARAMS)
    with Image.open(io.BytesIO(data)) as picture:
        comment = picture.getexif().get_ifd(0x8769)[0x9286]
        assert comment[:8] == b"UNICODE\0"
        assert comment[8:].decode("utf-16-be") == a1111_text(PARAMS)
        assert picture.info["xmp"] == xmp_packet()


def test_the_digital_source_type_is_where_iptc_has_it():
    packet = xmp_packet().decode()
    tree = ET.fromstring(packet[packet.index("<x:xmpmeta") : packet.index("<?xpacket end")])
    node = tree.find(".//{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    assert node is not None
    assert node.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType") == (
        "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    )


def test_a_document_that_no_reader_would_accept_is_not_written():
    with pytest.raises(ValueError, match="at most 262,144 can be kept"):
        document_text(PARAMS, {"log": "x" * 300_000})
    with pytest.raises(ValueError):
        document_text(PARAMS, {"loss": float("nan")})


def test_exif_drops_the_document_before_the_prompt():
    found = b.found_in(saved("JPEG", exif=exif_bytes(PARAMS, {"log": "x" * 66_000})))
    assert (found.document, found.parameters.prompt) == (None, PARAMS.prompt)
    with pytest.raises(ValueError, match="export as PNG"):
        exif_bytes(GenerationParameters("x" * 40_000))


def test_the_version_is_the_project_s():
    project = Path(__file__).parents[3] / "pyproject.toml"
    assert tomllib.loads(project.read_text())["project"]["version"] == VERSION


def test_schedules_come_apart_and_together():
    assert split_schedule("DPM++ 2M SDE Karras") == ("DPM++ 2M SDE", "Karras")
    assert split_schedule("Euler a") == ("Euler a", "")
    assert split_schedule("Karras") == ("Karras", "")
    assert join_schedule("Euler", "Automatic") == "Euler"
    assert join_schedule("DPM++ 2M Karras", "Karras") == "DPM++ 2M Karras"


RELAXED = settings(max_examples=100, deadline=None, derandomize=True)
words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30).map(str.strip)
names = st.text(st.characters(categories=["L", "N"], include_characters=" _-."), max_size=20).map(str.strip)
hashes = st.sampled_from(["", "0123456789ab"])
weights = st.floats(-2, 2).map(lambda value: round(value, 3) + 0.0)
parameters = st.builds(
    GenerationParameters,
    prompt=words.filter(lambda text: "<lora:" not in text and not text.startswith(("Negative prompt:", "Steps: "))),
    negative_prompt=words,
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(1, 150),
    sampler=st.sampled_from(["Euler", "Euler a", "DPM++ 2M Karras", "UniPC"]),
    guidance=st.floats(0, 30).map(lambda value: round(value, 4)),
    width=st.integers(64, 2048),
    height=st.integers(64, 2048),
    model_name=words,
    model_hash=st.sampled_from(["", "0123456789"]),
    loras=st.lists(st.builds(LoraUse, names.filter(bool), weights, hashes), max_size=4, unique_by=lambda x: x.name).map(
        tuple
    ),
    strength=st.none() | st.floats(0, 1).map(lambda value: round(value, 3)),
    upscale=st.sampled_from([None, 2.0, 4.0]),
    clip_skip=st.none() | st.integers(1, 12),
)


@RELAXED
@given(params=parameters)
@example(
    params=GenerationParameters(
        "x",
        seed=1,
        steps=2,
        sampler="Euler",
        guidance=3.0,
        width=64,
        height=64,
        loras=(LoraUse("a.pt", 1.0, "0123456789ab"), LoraUse("a", 1.0, "ba9876543210")),
    )
)
def test_a1111_s_text_comes_back_as_it_went(params):
    assert parse_infotext(a1111_text(params)) == params


@RELAXED
@given(
    params=parameters,
    prompt=st.text(max_size=60),
    extra=st.dictionaries(st.text(max_size=5), st.text(max_size=5)),
)
def test_the_document_comes_back_as_it_went(params, prompt, extra):
    """Anything but NUL and lone surrogates, which neither UTF-8 files nor PostgreSQL hold."""
    clean = prompt.replace("\0", "").encode("utf-8", "replace").decode()
    params = GenerationParameters(**{**params.to_json(), "loras": params.loras, "prompt": clean})
    found = b.found_in(saved("PNG", pnginfo=png_chunks(params, {"extra": 1})))
    assert found.parameters == params
    assert GenerationParameters.from_json(json.loads(json.dumps(params.to_json()))) == params
    assert GenerationParameters.from_json({"prompt": 1, "extra": extra, "loras": extra}).loras == ()
