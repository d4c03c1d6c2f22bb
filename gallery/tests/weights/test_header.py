import json
import os
import struct
import tracemalloc

import pytest

from gallery.tests.weights.builders import safetensors_bytes, with_header, write
from gallery.weights import WeightsRefused, file_sha256, read_header, tensors_sha256


def refusal(tmp_path, data):
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(WeightsRefused) as caught:
        read_header(path)
    return caught.value.reason


def header(**entries):
    return json.dumps(entries).encode()


def tensor(start, end, shape=(2,), dtype="F16"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def test_a_sound_file_tells_its_tensors_and_metadata(tmp_path):
    path = write(tmp_path / "x.safetensors", {"a": ("F16", (2, 3)), "b": ("F32", ())}, {"title": "Ä"})
    found = read_header(path)
    assert found.metadata == {"title": "Ä"}
    assert (found.tensors["a"].shape, found.tensors["b"].shape) == ((2, 3), ())
    assert found.tensors["a"].start == found.data_start
    assert found.tensors["b"].end == found.file_size == path.stat().st_size


def test_the_library_s_own_files_are_sound(tmp_path):
    np = pytest.importorskip("numpy")
    numpy_files = pytest.importorskip("safetensors.numpy")
    tensors = {
        "a": np.ones((2, 3), "float16"),
        "empty": np.zeros((0, 4), "float32"),
        "b": np.array(1, "int64"),
    }
    numpy_files.save_file(tensors, tmp_path / "x.safetensors", {"format": "pt"})
    found = read_header(tmp_path / "x.safetensors")
    assert {key: value.shape for key, value in found.tensors.items()} == {
        "a": (2, 3),
        "empty": (0, 4),
        "b": (),
    }


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "BF16", "I64", "BOOL"])
def test_number_types_of_real_models_are_read(tmp_path, dtype):
    assert read_header(write(tmp_path / "x.safetensors", {"a": (dtype, (3,))})).tensors["a"].dtype == dtype


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c", "is a Python pickle renamed; pickles can run code"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "is a Python pickle renamed"),
        (b"cposix\nsystem\n(S'id'\ntR.", "is a Python pickle renamed"),
        (b"PK\x03\x04" + bytes(60), "is a Python pickle in a zip archive"),
        (b"\x7fELF\x02\x01\x01" + bytes(60), "is a program"),
        (b"GGUF\x03\0\0\0" + bytes(60), "is a GGUF file"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"\n\n  <html>", "is a web page"),
        (b'{"error": "not logged in"}', "is a JSON text"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "is only a Git LFS pointer"),
        (b"\x89PNG\r\n\x1a\n" + bytes(60), "is a picture"),
        (b"abc", "is not a safetensors file"),
        (os.urandom(0) + bytes(64), "is not a safetensors file"),
    ],
)
def test_a_foreign_file_is_called_by_its_name(tmp_path, data, words):
    reason = refusal(tmp_path, data)
    assert reason.startswith(f"x.safetensors {words}")
    assert reason.endswith(".")


def test_a_header_length_that_begins_like_a_pickle_is_no_pickle(tmp_path):
    text = header(a=tensor(0, 4))
    text += b" " * (0x0280 - len(text))
    path = tmp_path / "x.safetensors"
    path.write_bytes(with_header(text, bytes(4)))
    assert path.read_bytes()[:2] == b"\x80\x02"
    assert list(read_header(path).tensors) == ["a"]


@pytest.mark.parametrize(
    ("text", "size", "words"),
    [
        (header(a=tensor(0, 4), b=tensor(2, 6)), 6, "overlap at byte"),
        (header(a=tensor(0, 4), b=tensor(6, 10)), 10, "leave a gap"),
        (header(a=tensor(2, 6)), 6, "leave a gap"),
        (header(a=tensor(0, 4)), 3, "cut short"),
        (header(a=tensor(0, 4)), 5, "followed by foreign bytes"),
        (header(a=tensor(0, 5)), 5, "another length"),
        (header(a=tensor(4, 0)), 4, "another length"),
        (header(a=tensor(0, 4, [2**62, 2**62, 4])), 4, "another length"),
        (header(a=tensor(0, 4, [-2])), 4, "not a list of sizes"),
        (header(a=tensor(0, 4, [2.0])), 4, "not a list of sizes"),
        (header(a=tensor(0, 4, [True, 2])), 4, "not a list of sizes"),
        (header(a=tensor(0, 4, [1] * 40)), 4, "not a list of sizes"),
        (header(a=tensor(0, 2, [4], "F4")), 2, "number type 'F4'"),
        (header(a=tensor(0, 2, [4], ["F16"])), 2, "number type"),
        (header(a={**tensor(0, 4), "more": 1}), 4, "in a form safetensors does not have"),
        (header(a=[]), 4, "in a form safetensors does not have"),
        (header(), 0, "holds no tensors"),
        (header(__metadata__={"a": "b"}), 0, "holds no tensors"),
        (header(__metadata__={"a": 1}, a=tensor(0, 4)), 4, "not a table of texts"),
        (header(__metadata__=[], a=tensor(0, 4)), 4, "not a table of texts"),
        (header(__metadata__={"k" * 300: "b"}, a=tensor(0, 4)), 4, "too long names"),
        (b'{"a":' * 5000, 0, "not valid JSON"),
        (b'{"a": NaN}', 0, "in a form safetensors does not have"),
        (b'{"a": "\xff"}', 0, "not valid JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", 0, "not valid JSON"),
        (b'{"a": {"dtype":"F16","dtype":"F16"}}', 0, "names 'dtype' twice"),
    ],
)
def test_a_header_that_lies_is_refused_with_the_reason(tmp_path, text, size, words):
    assert words in refusal(tmp_path, with_header(text, bytes(size)))


def test_a_tensor_named_twice_is_refused(tmp_path):
    one = json.dumps(tensor(0, 4))
    text = f'{{"a": {one}, "a": {one}}}'.encode()
    assert "names 'a' twice" in refusal(tmp_path, with_header(text, bytes(4)))


def test_a_header_longer_than_the_limit_is_not_read(tmp_path):
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 10_000_001) + b"{")
        file.truncate(20_000_000)
    with pytest.raises(WeightsRefused, match="claims 10,000,001 bytes"):
        read_header(path)


def test_a_million_keys_are_refused_in_little_memory(tmp_path):
    entries = b",".join(b'"%x":{}' % number for number in range(850_000))
    data = with_header(b"{" + entries + b"}")
    tracemalloc.start()
    reason = refusal(tmp_path, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "more than 100,000 tensors" in reason
    assert peak < 3 * len(data)


def test_long_metadata_values_are_left_out(tmp_path):
    metadata = {"modelspec.thumbnail": "x" * 1_048_577, "title": "y"}
    assert read_header(write(tmp_path / "x.safetensors", {"a": ("F16", ())}, metadata)).metadata == {"title": "y"}


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    for path in (tmp_path, tmp_path / "pipe.safetensors"):
        with pytest.raises(WeightsRefused, match="not a regular file"):
            read_header(path)
    with pytest.raises(FileNotFoundError):
        read_header(tmp_path / "none.safetensors")


def test_digests_of_the_file_and_of_its_tensors(tmp_path):
    one = write(tmp_path / "one.safetensors", {"a": ("F16", (2,), b"abcd")})
    two = write(tmp_path / "two.safetensors", {"a": ("F16", (2,), b"abcd")}, {"title": "edited"})
    assert tensors_sha256(one) == tensors_sha256(two)
    assert tensors_sha256(one) == "88d4266fd4e6338d13b845fcf289579d209c897823b9217da3e161936f031589"
    assert file_sha256(one) != file_sha256(two)


def test_progress_counts_bytes_to_the_end(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors_bytes({"a": ("F16", (3_000_000,))}))
    seen = []
    file_sha256(path, progress=lambda done, total: seen.append((done, total)))
    size = path.stat().st_size
    assert seen == [(4 * 1024 * 1024, size), (size, size)]
