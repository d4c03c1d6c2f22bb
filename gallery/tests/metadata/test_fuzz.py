"""Whatever a file holds, reading it ends in None or in parameters that can be stored and written again."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from gallery.metadata import (
    GenerationParameters,
    a1111_text,
    exif_bytes,
    png_chunks,
    read_metadata,
    xmp_packet,
)
from gallery.metadata.exif import read_exif
from gallery.metadata.fields import Fields
from gallery.metadata.reader import interpret
from gallery.tests.metadata import builders as b

RELAXED = settings(max_examples=150, deadline=None, derandomize=True)
PARAMS = GenerationParameters("cat", negative_prompt="dog", steps=3, seed=1, width=8, height=8)
USER_COMMENT = ((0x9286, b"UNICODE\0" + b.A1111.encode("utf-16-le")),)
FILES = [
    b.png(b.text("parameters", b.A1111), b.ztext("prompt", json.dumps(b.comfyui_graph()))),
    b.png(b.itext("invokeai_metadata", b.INVOKEAI, compressed=True), b.text("fooocus_scheme", "a1111")),
    b.picture("PNG", pnginfo=png_chunks(PARAMS)),
    b.picture("JPEG", exif=exif_bytes(PARAMS), xmp=xmp_packet(), comment="x: y"),
    b.with_exif("JPEG", b.exif("<", inner=USER_COMMENT)),
    b.with_exif("WEBP", b.exif("<", main=((0x0110, b'prompt:{"a": 1}\0'),), inner=USER_COMMENT)),
    b.with_exif("AVIF", b.exif(">", inner=USER_COMMENT)),
    b.picture("GIF", comment=b.A1111.encode()),
]


def holds_together(found):
    if found is None:
        return
    text = json.dumps([found.parameters.to_json(), found.raw, found.document], allow_nan=False, ensure_ascii=False)
    text.encode()
    assert "\0" not in text
    assert "\\u0000" not in text.replace("\\\\", "")
    assert GenerationParameters.from_json(found.parameters.to_json()) == found.parameters
    a1111_text(found.parameters).encode()
    assert found.parameters.source == found.source


@st.composite
def mutated(draw):
    data = bytearray(draw(st.sampled_from(FILES)))
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.sampled_from(["flip", "insert", "delete", "repeat"])):
            case "flip" if data:
                data[at] ^= draw(st.integers(1, 255))
            case "insert":
                data[at:at] = draw(st.binary(max_size=16))
            case "delete":
                del data[at : at + draw(st.integers(1, 60))]
            case _:
                data[at:at] = data[at : at + 50]
    return bytes(data)


@RELAXED
@given(data=mutated())
def test_mutated_files(data):
    holds_together(read_metadata(data))


@RELAXED
@given(start=st.sampled_from([data[:16] for data in FILES]), rest=st.binary(max_size=300))
def test_any_bytes_behind_a_true_beginning(start, rest):
    holds_together(read_metadata(start + rest))


@RELAXED
@given(data=st.binary(max_size=200), start=st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b""]))
def test_any_exif(data, start):
    fields = Fields()
    read_exif(start + data, fields)
    holds_together(interpret(fields.found))


KEYS = (
    "parameters",
    "prompt",
    "workflow",
    "imagineer",
    "invokeai_metadata",
    "sd-metadata",
    "UserComment",
    "MakerNote",
)
WORDS = (
    "Steps", "Sampler", "Seed", "Size", "Model", "Lora hashes", "Hashes", "Version", ": ", ", ", "\n", '"', "{",
    "}", "[", "\\", "Negative prompt:", "<lora:", ">", "1", "64x64", "é", "\0", "\ud800", "Fooocus v2",
)  # fmt: skip


@RELAXED
@given(text=st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=40).map("".join))
def test_any_infotext(text):
    holds_together(read_metadata(b.png(b.chunk(b"iTXt", b"parameters\0\0\0\0\0" + text.encode("utf-8", "replace")))))


NAMES = st.sampled_from(
    ["seed", "steps", "cfg", "positive", "negative", "model", "text", "latent_image", "width", "height",
     "lora_name", "class_type", "inputs", "nodes", "links", "id", "type", "widgets_values", "sui_image_params",
     "sui_models", "loras", "loraweights", "prompt", "base_model", "resolution", "name", "weight", "hash", "image",
     "format", "parameters", "positive_prompt", "scheduler", "sampler", "version"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
    | st.sampled_from(["0", "1", "KSampler", "imagineer", "(8, 8)", ["0", 0], ["1", 0]]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)  # fmt: skip
NODES = st.fixed_dictionaries({"class_type": VALUES, "inputs": st.dictionaries(NAMES, VALUES, max_size=8) | VALUES})
GRAPHS = st.dictionaries(st.sampled_from(["0", "1", "2"]), NODES, max_size=3)


@settings(RELAXED, max_examples=60)
@given(key=st.sampled_from(KEYS), document=GRAPHS | st.dictionaries(NAMES, VALUES, max_size=8))
def test_any_json_under_any_key(key, document):
    holds_together(interpret({key: json.dumps(document)}))
