"""The npm packages the starter model is made of: pinned, checked against the registry's sha512, unpacked as data."""

import base64
import hashlib
import io
import shutil
import tarfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

REGISTRY = "https://registry.npmjs.org"
MAX_UNPACKED_BYTES = 120_000_000


class PackageError(Exception):
    """A package can't be had, or isn't the one that is pinned here."""


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    sha512: str
    licence: str
    wanted: tuple[str, ...]
    """Path prefixes below `package/` that are unpacked; nothing else is written to disk."""

    @property
    def url(self) -> str:
        return f"{REGISTRY}/{self.name}/-/{self.name.rpartition('/')[2]}-{self.version}.tgz"

    @property
    def folder(self) -> str:
        return f"{self.name.replace('/', '-').lstrip('@')}-{self.version}"


ICONIFY_FILES = ("icons.json", "chars.json", "info.json")

EMOJIBASE = Package(
    "emojibase-data",
    "17.0.0",
    "Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
    "MIT",
    ("en/data.json", "en/messages.json", "LICENSE"),
)
FLUENT_3D = Package(
    "@lobehub/fluent-emoji-3d",
    "1.1.0",
    "Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
    "MIT",
    ("assets/",),
)
FLUENT_FLAT = Package(
    "@iconify-json/fluent-emoji-flat",
    "1.2.6",
    "RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
    "MIT",
    ICONIFY_FILES,
)
NOTO = Package(
    "@iconify-json/noto",
    "1.2.9",
    "DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
    "Apache-2.0",
    ICONIFY_FILES,
)
FLUENT_HIGH_CONTRAST = Package(
    "@iconify-json/fluent-emoji-high-contrast",
    "1.2.6",
    "esqhZPpkrF7sNX3NsLoh8KW64okEr/bzko7WNnFP+qTJGAqDPDYjp0925yxuivXy3HtVQB8xhIKu3+Nq1byX5w==",
    "MIT",
    ICONIFY_FILES,
)
TRAINING_PACKAGES = (EMOJIBASE, FLUENT_3D, FLUENT_FLAT, NOTO)
HELD_OUT_PACKAGE = FLUENT_HIGH_CONTRAST


def fetch_package(package: Package, root: Path) -> Path:
    """Unpacks `package` below `root` and returns its folder; a folder that is there is complete."""
    target = root / package.folder
    if target.is_dir():
        return target
    archive = _download(package)
    _verify(package, archive)
    partial = root / f".{package.folder}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    _unpack(archive, package, partial)
    partial.rename(target)
    return target


def _download(package: Package) -> bytes:
    try:
        with urllib.request.urlopen(package.url, timeout=120) as answer:  # noqa: S310 - a constant https address
            return bytes(answer.read())
    except OSError as error:
        raise PackageError(
            f"{package.name} {package.version} could not be downloaded from {REGISTRY} ({error}): "
            "check the network and start again."
        ) from error


def _verify(package: Package, archive: bytes) -> None:
    digest = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if digest != package.sha512:
        raise PackageError(
            f"{package.name} {package.version} is not the pinned file (sha512 {digest[:12]}…): nothing was unpacked."
        )


def _unpack(archive: bytes, package: Package, target: Path) -> None:
    """Writes the wanted regular files only: names are matched against the list, links and odd paths are skipped."""
    written = 0
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            relative = member.name.removeprefix("package/")
            if not member.isfile() or not relative.startswith(package.wanted) or ".." in Path(relative).parts:
                continue
            written += member.size
            if written > MAX_UNPACKED_BYTES:
                raise PackageError(f"{package.name} unpacks to more than {MAX_UNPACKED_BYTES} bytes: refused.")
            content = tar.extractfile(member)
            assert content is not None
            path = target / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read())
