"""Whatever colours a file has, as sRGB."""

import io

import PIL.Image
import PIL.ImageCms

_SRGB = PIL.ImageCms.createProfile("sRGB")


def to_srgb(picture: PIL.Image.Image, profile: bytes | None) -> PIL.Image.Image:
    """RGB, or RGBA where something shines through. A profile that is broken or of other colours is passed over."""
    alpha = picture.getchannel("A") if picture.mode in ("RGBA", "LA") else None
    plain = picture.convert("RGB") if alpha else picture
    converted = _converted(plain, profile) if profile else None
    rgb = converted or plain.convert("RGB")
    if alpha is None or alpha.getextrema() == (255, 255):
        return rgb
    rgb.putalpha(alpha)
    return rgb


def on_white(picture: PIL.Image.Image) -> PIL.Image.Image:
    if picture.mode != "RGBA":
        return picture
    white = PIL.Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=picture.getchannel("A"))
    return white


def _converted(picture: PIL.Image.Image, profile: bytes) -> PIL.Image.Image | None:
    try:
        source = PIL.ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return PIL.ImageCms.profileToProfile(picture, source, _SRGB, outputMode="RGB")
    except (PIL.ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
