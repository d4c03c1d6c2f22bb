"""The decoder: what it tells of a picture, what it lets through, and what its process can't do."""

import io
import subprocess
import sys
from pathlib import Path

import PIL.Image
import PIL.ImageCms
import PIL.PngImagePlugin
import pytest
from django.conf import settings

from gallery.decoder import Facts, Refused, measure, read_header
from gallery.services.decoding import RECIPES, decode_confined
from gallery.tests.uploads import INFOTEXT, encoded, scene

SECRETS = (b"lighthouse", b"parameters", b"GPS", b"51.4779", b"xpacket", b"MakerNote", b"Steps", b"Exif", b"ICCP")
GPS_INFO, MAKER_NOTE, USER_COMMENT, ORIENTATION = 0x8825, 0x927C, 0x9286, 0x0112


def facts_of(data: bytes) -> Facts:
    return measure(io.BytesIO(data), RECIPES)


def phone_photo(orientation: int) -> bytes:
    """Red at the left and blue at the right of what the sensor saw, with all that a phone writes beside it."""
    picture = PIL.Image.new("RGB", (640, 400), "red")
    picture.paste("blue", (320, 0, 640, 400))
    exif = PIL.Image.Exif()
    exif[ORIENTATION] = orientation
    exif.get_ifd(0x8769)[MAKER_NOTE] = b"MakerNote of a phone"
    exif.get_ifd(0x8769)[USER_COMMENT] = b"ASCII\0\0\0" + INFOTEXT.encode()
    exif.get_ifd(GPS_INFO)[29] = "51.4779 GPS"
    xmp = b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/">51.4779</x:xmpmeta>'
    return encoded(picture, "JPEG", exif=exif, xmp=xmp, quality=95)


def colour_at(data: bytes, x: float, y: float) -> str:
    with PIL.Image.open(io.BytesIO(data)) as picture:
        red, _, blue = picture.convert("RGB").getpixel((int(x * picture.width), int(y * picture.height)))
    return "red" if red > blue else "blue"


@pytest.mark.parametrize(
    ("orientation", "size", "red_at"),
    [
        (1, (640, 400), (0.1, 0.5)),
        (3, (640, 400), (0.9, 0.5)),
        (6, (400, 640), (0.5, 0.1)),
        (8, (400, 640), (0.5, 0.9)),
    ],
)
def test_a_turned_photo_stands_upright(orientation: int, size: tuple[int, int], red_at: tuple[float, float]) -> None:
    facts = facts_of(phone_photo(orientation))
    assert (facts.width, facts.height) == size
    for data in facts.renditions.values():
        assert colour_at(data, *red_at) == "red"
        assert colour_at(data, 1 - red_at[0], 1 - red_at[1]) == "blue"


def test_renditions_tell_nothing() -> None:
    info = PIL.PngImagePlugin.PngInfo()
    info.add_text("parameters", INFOTEXT)
    info.add_itxt("XML:com.adobe.xmp", "<?xpacket?>51.4779")
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    png = encoded(scene(2), pnginfo=info, icc_profile=profile)
    webp = encoded(scene(2), "WEBP", exif=b"Exif\0\0MM\0*" + b"GPS 51.4779", xmp=b"<?xpacket?>", icc_profile=profile)
    for original in (phone_photo(6), png, webp):
        assert any(secret in original for secret in SECRETS), "else nothing could leak"
        for data in facts_of(original).renditions.values():
            assert [secret for secret in SECRETS if secret in data] == []


def test_colours_become_srgb() -> None:
    """Grey stays grey in every mode; a picture with a broken profile is taken as it is."""
    for mode in ("L", "LA", "P", "1", "RGB", "RGBA", "CMYK", "I;16"):
        grey = PIL.Image.new("RGB", (40, 30), (128, 128, 128)).convert(mode if mode != "I;16" else "L")
        if mode == "I;16":
            grey = PIL.Image.new("I;16", (40, 30), 128 * 256)
        data = encoded(grey, "JPEG" if mode == "CMYK" else "PNG", icc_profile=b"no profile")
        assert (facts_of(data).width, mode == "1" or facts_of(data).color[1:3] in ("7f", "80", "81")) == (40, True), (
            mode
        )


def test_big_pictures_are_measured_whole() -> None:
    facts = facts_of(encoded(scene(3, (5003, 2999)), "JPEG"))
    assert (facts.width, facts.height) == (5003, 2999)
    sizes = {size: PIL.Image.open(io.BytesIO(data)).size for size, data in facts.renditions.items()}
    assert sizes == {300: (300, 180), 600: (600, 360), 1200: (1200, 719)}


def test_sharpness_tells_blurred_from_sharp() -> None:
    sharp = PIL.Image.effect_noise((400, 300), 80).convert("RGB")
    blurred = sharp.resize((20, 15)).resize((400, 300))
    assert facts_of(encoded(sharp)).sharpness > 10 * facts_of(encoded(blurred)).sharpness


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "AVIF", "GIF"])
def test_headers_are_read_without_decoding(image_format: str) -> None:
    header = read_header(io.BytesIO(encoded(scene(2, (123, 45)), image_format)))
    assert (header.format, header.width, header.height, header.frames) == (image_format.lower(), 123, 45, 1)


def test_the_confined_child_says_the_same(data_folder: Path) -> None:
    path = data_folder / "photo.jpg"
    path.write_bytes(phone_photo(6))
    with path.open("rb") as file:
        decoded = decode_confined(file, path.stat().st_size)
    assert decoded.facts == facts_of(path.read_bytes())
    assert decoded.metadata["parameters"]["seed"] == 77


def test_time_and_memory_are_bounded(data_folder: Path, settings) -> None:
    path = data_folder / "big.png"
    path.write_bytes(encoded(scene(2, (6000, 5000)), compress_level=1))
    settings.DECODER_MEMORY = 128 * 2**20
    with path.open("rb") as file, pytest.raises(Refused, match="memory"):
        decode_confined(file, path.stat().st_size)


ATTEMPTS = """
import os, socket, sys
from gallery.decoder.confine import confine
confine(memory=2**30, seconds=5, output=2**20)
for attempt in (socket.socket, lambda: open("/etc/passwd"), lambda: open("/tmp/x", "w"), os.pipe):
    try:
        attempt()
        print("could")
    except OSError as error:
        print(error.errno)
"""


def test_a_confined_process_opens_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ATTEMPTS], cwd=settings.BASE_DIR, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["24"] * 4, "EMFILE"
