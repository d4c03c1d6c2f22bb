"""Whatever is done to a file, reading it ends in an answer or a refusal."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gallery.tests.weights.builders import kohya_lora, safetensors_bytes, sd1_file, with_header
from gallery.weights import WeightsRefused, detect_lora, detect_model, read_header

STARTER = Path(__file__).parents[3] / "models" / "starter" / "unet" / "diffusion_pytorch_model.safetensors"
SEEDS = [
    safetensors_bytes(kohya_lora(8, outputs=8), {"ss_base_model_version": "sd_v1"}),
    safetensors_bytes({**sd1_file(8), "x": ("I64", ())}),
]
RELAXED = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


def answers(path, data):
    """A header either holds together in every byte, or is refused with a sentence."""
    path.write_bytes(data)
    try:
        found = read_header(path)
    except WeightsRefused as refusal:
        assert refusal.reason.endswith(".") and len(refusal.reason) < 400  # noqa: PT017, PT018
    else:
        spans = sorted((tensor.start, tensor.end) for tensor in found.tensors.values())
        assert spans[0][0] == found.data_start
        assert spans[-1][1] == len(data)
        assert all(one[1] == two[0] for one, two in pairwise(spans))
    assert detect_lora(path).name == path.stem
    assert detect_model(path).kind == "file"


@st.composite
def mutated(draw):
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data) - 1))
        action = draw(st.sampled_from(["flip", "insert", "delete", "swap"]))
        if action == "flip":
            data[at] ^= draw(st.integers(1, 255))
        elif action == "insert":
            data[at:at] = draw(st.binary(max_size=12))
        elif action == "delete":
            del data[at : at + draw(st.integers(1, 40))]
        else:
            data[at : at + 1] = draw(st.sampled_from([b"9", b"-", b'"', b"}", b"[", b"\\", b","]))
        if not data:
            break
    return bytes(data)


@RELAXED
@given(data=mutated())
def test_mutated_files(tmp_path, data):
    answers(tmp_path / "x.safetensors", data)


@RELAXED
@given(data=st.binary(max_size=200))
@example(data=b"\x01" + bytes(7) + b"{")
@example(data=b"\xff" * 8 + b"{")
def test_any_bytes(tmp_path, data):
    answers(tmp_path / "x.safetensors", data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(
    ["a", "__metadata__", "lora_unet_x.alpha", "lora_unet_x.lora_down.weight", "unet..lora_A.weight"]
)
tensors = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F16", "F8_E4M3", "F4", "", "I64"]) | json_values,
        "shape": st.lists(st.integers(-1, 4) | st.just(2**63), max_size=3) | json_values,
        "data_offsets": st.lists(st.integers(-1, 16), min_size=1, max_size=3) | json_values,
    }
)


@RELAXED
@given(
    document=st.dictionaries(keys | st.text(max_size=5), tensors | json_values, max_size=4),
    size=st.integers(0, 16),
)
def test_any_json_as_header(tmp_path, document, size):
    answers(tmp_path / "x.safetensors", with_header(json.dumps(document).encode(), bytes(size)))


def test_the_starter_cut_at_every_thousandth_byte_is_refused(tmp_path):
    whole = STARTER.read_bytes()[:60_000]
    path = tmp_path / "x.safetensors"
    for length in range(0, len(whole), 1_000):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsRefused):
            read_header(path)
