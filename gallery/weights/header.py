"""A strict look at a safetensors file's header, before any library opens the file."""

import json
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from gallery.weights.foreign import refusal_of

HEADER_LIMIT = 10_000_000  # bytes; the format allows 100 MB, the largest published models need under 1 MB
TENSOR_LIMIT = 100_000
DIMENSION_LIMIT = 16
METADATA_KEYS = 4_096
METADATA_KEY_LENGTH = 256
METADATA_VALUE_LENGTH = 1_048_576

# Bits are whole bytes: the packed 4 and 6 bit types of newer files can't be loaded as pictures' models.
DTYPE_BYTES: Mapping[str, int] = {
    "BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "U32": 4, "I32": 4, "U64": 8, "I64": 8,
    "F8_E4M3": 1, "F8_E5M2": 1, "F16": 2, "BF16": 2, "F32": 4, "F64": 8,
}  # fmt: skip


class WeightsRefused(ValueError):
    """A file that Imagineer will not load; `reason` is a sentence for the person who brought it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Tensor:
    """`start` and `end` are byte offsets from the beginning of the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    """`metadata` leaves out values longer than METADATA_VALUE_LENGTH characters."""

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    data_start: int
    file_size: int


def read_header(path: str | Path) -> SafetensorsHeader:
    """Everything the header claims, checked against the file's own size.

    Raises WeightsRefused for anything that is not a sound safetensors file, OSError when it can't be read.
    """
    path = Path(path)
    if not stat.S_ISREG(path.stat().st_mode):
        raise WeightsRefused(f"{path.name} is not a regular file; give the path of one .safetensors file.")
    size = path.stat().st_size
    with path.open("rb") as file:
        text = _header_text(file, path.name, size)
    document = _parse(text, path.name)
    metadata = _metadata(document.pop("__metadata__", {}), path.name)
    data_start = 8 + len(text)
    tensors = {key: _tensor(key, value, data_start, path.name) for key, value in document.items()}
    _check_layout(tensors, data_start, size, path.name)
    return SafetensorsHeader(path, tensors, metadata, data_start, size)


def _header_text(file: BinaryIO, name: str, size: int) -> bytes:
    start = file.read(64)
    if len(start) < 8:
        raise WeightsRefused(refusal_of(start, name))
    (length,) = struct.unpack("<Q", start[:8])
    if start[8:9] != b"{" or length > size - 8:
        raise WeightsRefused(refusal_of(start, name))
    if length > HEADER_LIMIT:
        raise WeightsRefused(f"The header of {name} claims {length:,} bytes; Imagineer reads at most {HEADER_LIMIT:,}.")
    file.seek(8)
    return file.read(length)


def _parse(text: bytes, name: str) -> dict[str, Any]:
    if text.count(b"{") + text.count(b"[") > 4 * TENSOR_LIMIT:
        raise WeightsRefused(f"The header of {name} lists more than {TENSOR_LIMIT:,} tensors.")
    try:
        document = json.loads(text.decode("utf-8"), object_pairs_hook=_unique_keys)
    except _DuplicateKeyError as error:
        raise WeightsRefused(f"The header of {name} names {_short(error.key)} twice.") from None
    except (ValueError, RecursionError):
        raise WeightsRefused(f"The header of {name} is not valid JSON; the file is damaged, get it again.") from None
    if len(document) > TENSOR_LIMIT:
        raise WeightsRefused(f"The header of {name} lists more than {TENSOR_LIMIT:,} tensors.")
    if not document.keys() - {"__metadata__"}:
        raise WeightsRefused(f"{name} holds no tensors.")
    return document


class _DuplicateKeyError(ValueError):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise _DuplicateKeyError(key)
        seen.add(key)
    return found


def _metadata(value: Any, name: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise WeightsRefused(f"The metadata of {name} is not a table of texts.")
    if len(value) > METADATA_KEYS or any(len(key) > METADATA_KEY_LENGTH for key in value):
        raise WeightsRefused(f"The metadata of {name} has more than {METADATA_KEYS:,} entries or too long names.")
    return {key: text for key, text in value.items() if len(text) <= METADATA_VALUE_LENGTH}


def _tensor(key: str, value: Any, data_start: int, name: str) -> Tensor:
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise WeightsRefused(f"The header of {name} describes {_short(key)} in a form safetensors does not have.")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise WeightsRefused(f"{_short(key)} in {name} has the number type {_short(dtype)}, which can't be loaded.")
    if not _is_sizes(shape) or len(shape) > DIMENSION_LIMIT or not _is_sizes(offsets) or len(offsets) != 2:
        raise WeightsRefused(f"{_short(key)} in {name} has a shape or place that is not a list of sizes.")
    start, end = offsets
    if end - start != _bytes_of(shape, DTYPE_BYTES[dtype]):
        raise WeightsRefused(f"{_short(key)} in {name} has another length than its shape {shape[:8]} needs.")
    return Tensor(dtype, tuple(shape), data_start + start, data_start + end)


def _is_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 2**63 for size in value)


def _bytes_of(shape: list[int], item: int) -> int:
    """Python's integers don't overflow: a product beyond 2**64 never equals a length in the file."""
    total = item
    for size in shape:
        total *= size
    return total


def _check_layout(tensors: dict[str, Tensor], data_start: int, size: int, name: str) -> None:
    position = data_start
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.start, tensor.end)):
        if tensor.start != position:
            kind = "overlap" if tensor.start < position else "leave a gap"
            raise WeightsRefused(f"The tensors of {name} {kind} at byte {tensor.start:,}; the file is not sound.")
        position = tensor.end
    if position != size:
        state = "cut short" if position > size else "followed by foreign bytes"
        raise WeightsRefused(
            f"{name} is {state}: its tensors end at byte {position:,}, the file at {size:,}; get it again."
        )


def _short(value: object) -> str:
    text = str(value)
    return repr(text if len(text) <= 80 else text[:77] + "…")
