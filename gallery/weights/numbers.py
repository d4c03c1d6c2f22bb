"""Reads the few small tensors that say something about a file, without torch."""

import struct
from typing import BinaryIO

from gallery.weights.header import Tensor

BYTES_LIMIT = 65_536
_FORMATS = {"BOOL": "?", "U8": "B", "I8": "b", "U16": "H", "I16": "h", "U32": "I", "I32": "i", "U64": "Q",
            "I64": "q", "F16": "e", "F32": "f", "F64": "d", "BF16": "f", "F8_E5M2": "e"}  # fmt: skip


def read_numbers(file: BinaryIO, tensor: Tensor) -> list[float]:
    """The tensor's values in order; none when it is longer than BYTES_LIMIT."""
    if tensor.end - tensor.start > BYTES_LIMIT:
        return []
    file.seek(tensor.start)
    data = file.read(tensor.end - tensor.start)
    if tensor.dtype == "F8_E4M3":
        return [_e4m3(byte) for byte in data]
    if tensor.dtype == "BF16":  # the upper half of a float32
        data = b"".join(b"\0\0" + data[i : i + 2] for i in range(0, len(data), 2))
    elif tensor.dtype == "F8_E5M2":  # the upper half of a float16
        data = b"".join(bytes((0, byte)) for byte in data)
    return [float(value) for (value,) in struct.iter_unpack("<" + _FORMATS[tensor.dtype], data)]


def _e4m3(byte: int) -> float:
    """Four bits of exponent with bias 7, three of fraction, no infinities (arXiv 2209.05433)."""
    sign, exponent, fraction = -1.0 if byte & 0x80 else 1.0, byte >> 3 & 15, byte & 7
    if exponent == 15 and fraction == 7:
        return float("nan")
    if exponent == 0:
        return sign * fraction * 2.0**-9
    return float(sign * (1 + fraction / 8) * 2.0 ** (exponent - 7))
