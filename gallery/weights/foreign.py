"""Names what a file really is when it is not safetensors."""

_PICKLE = "pickles can run code, so Imagineer refuses them; get the .safetensors version"

_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", f"is a Python pickle in a zip archive, renamed; {_PICKLE}"),
    (b"\x7fELF", "is a program, not weights"),
    (b"MZ", "is a Windows program, not weights"),
    (b"GGUF", "is a GGUF file, which Imagineer can't load; get the .safetensors version"),
    (b"\x89HDF", "is an HDF5 file, which Imagineer can't load; get the .safetensors version"),
    (b"\x93NUMPY", "is a NumPy array, not weights in safetensors form"),
    (b"\x1f\x8b", "is compressed; unpack it first"),
    (b"7z\xbc\xaf", "is a 7-Zip archive; unpack it first"),
    (b"Rar!", "is a RAR archive; unpack it first"),
    (b"\x89PNG", "is a picture, not weights"),
    (b"\xff\xd8\xff", "is a picture, not weights"),
    (b"RIFF", "is a picture or a sound, not weights"),
    (b"%PDF", "is a PDF, not weights"),
    (b"version https://git-lfs", "is only a Git LFS pointer; download the file it points to"),
    (b"{", "is a JSON text, not weights; the download may have answered with an error message"),
)
_PICKLE_PROTOCOLS = range(2, 6)
_OLD_PICKLES = (b"c__builtin__\n", b"cos\n", b"cposix\n", b"ctorch", b"ccollections\n", b"(dp0\n")


def refusal_of(start: bytes, name: str) -> str:
    """One sentence saying what a file beginning with `start` (up to 64 bytes) is; it is not safetensors."""
    if not start:
        return f"{name} is empty; get it again."
    if _is_pickle(start):
        return f"{name} is a Python pickle renamed; {_PICKLE}."
    if start.lstrip()[:1] == b"<":
        return f"{name} is a web page, not weights; the download needs a login or another address."
    for beginning, sentence in _BEGINNINGS:
        if start.startswith(beginning):
            return f"{name} {sentence}."
    return f"{name} is not a safetensors file, or it is cut short; get it again."


def _is_pickle(start: bytes) -> bool:
    """PROTO with a protocol that exists, or what protocols 0 and 1 begin with."""
    if start[0] == 0x80 and len(start) > 1:
        return start[1] in _PICKLE_PROTOCOLS
    return start.startswith(_OLD_PICKLES)
