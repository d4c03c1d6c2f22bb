import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw

from gallery.engine import upscale
from gallery.engine.errors import EngineError
from gallery.engine.pictures import fill, open_picture
from gallery.engine.upscale import Upscaler


@pytest.fixture(scope="module")
def upscaler():
    return Upscaler(threads=1)


def drawing(width=64, height=48, mode="RGB"):
    picture = Image.new(mode, (width, height), "white")
    draw = ImageDraw.Draw(picture)
    draw.ellipse((8, 8, width - 8, height - 8), fill="red", outline="navy", width=2)
    return picture


def mean_error(one, other):
    return np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).mean()


@pytest.mark.parametrize("factor", [2, 4])
def test_enlarges_and_keeps_what_is_there(upscaler, factor):
    small = drawing()
    large = upscaler.enlarge(small, factor)
    assert large.size == (64 * factor, 48 * factor)
    assert mean_error(large.resize(small.size, Image.Resampling.BOX), small) < 6


def test_edges_are_sharper_than_interpolation(upscaler):
    small = drawing()

    def steepest(picture):
        return np.abs(np.diff(np.asarray(picture.convert("L"), np.int16), axis=1)).max()

    plain = small.resize((256, 192), Image.Resampling.BICUBIC)
    assert steepest(upscaler.enlarge(small, 4)) > 1.3 * steepest(plain)


def test_the_same_picture_gives_the_same_bytes(upscaler):
    first = upscaler.enlarge(drawing(), 4).tobytes()
    assert first == upscaler.enlarge(drawing(), 4).tobytes()
    assert first == Upscaler(threads=2).enlarge(drawing(), 4).tobytes()


@pytest.mark.parametrize("factor", [2, 4])
def test_tiles_leave_no_seam(upscaler, monkeypatch, factor):
    picture = Image.effect_mandelbrot((150, 90), (-2, -1, 1, 1), 60).convert("RGB")
    whole = upscaler.enlarge(picture, factor)
    monkeypatch.setattr(upscale, "TILE", 64)
    seen = []
    tiled = upscaler.enlarge(picture, factor, lambda done, total: seen.append((done, total)))
    assert seen == [(i, 6) for i in range(6)]
    assert max(high for _, high in ImageChops.difference(whole, tiled).getextrema()) <= 2


def test_alpha_is_kept_and_what_is_unseen_does_not_bleed(upscaler):
    small = Image.new("RGBA", (32, 32), (0, 255, 0, 0))
    small.paste((255, 0, 0, 255), (8, 8, 24, 24))
    large = upscaler.enlarge(small, 4)
    assert large.mode == "RGBA"
    assert large.getpixel((64, 64))[3] == 255
    assert large.getpixel((4, 4))[3] == 0
    visible = np.asarray(large)[np.asarray(large)[..., 3] > 60]
    assert (visible[:, :3].astype(int) - (255, 0, 0) < 40).all()
    assert (visible[:, 0] > 215).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (17, 1)])
def test_odd_sizes(upscaler, size):
    assert upscaler.enlarge(Image.new("RGB", size, "teal"), 2).size == (2 * size[0], 2 * size[1])


def test_refuses_what_would_become_too_large(upscaler):
    with pytest.raises(EngineError, match="choose factor 2 or a smaller picture"):
        upscaler.enlarge(Image.new("RGB", (4000, 4000)), 4)


def test_a_missing_net_is_said(tmp_path):
    with pytest.raises(EngineError, match="restore models/upscale"):
        Upscaler(1, tmp_path).enlarge(drawing(), 2)


def test_opens_pictures_upright_and_flat(tmp_path):
    path = tmp_path / "it.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    drawing(40, 20).save(path, exif=exif)
    assert open_picture(path).size == (20, 40)
    glass = Image.new("RGBA", (30, 10), (0, 0, 0, 0))
    glass.save(tmp_path / "it.png")
    filled = fill(open_picture(tmp_path / "it.png"), 64, 64)
    assert (filled.mode, filled.size, filled.getpixel((5, 5))) == ("RGB", (64, 64), (255, 255, 255))


def test_palettes_with_transparency_keep_it(tmp_path):
    picture = Image.new("P", (8, 8), 0)
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.save(tmp_path / "it.gif", transparency=0)
    assert open_picture(tmp_path / "it.gif").getpixel((0, 0))[3] == 0


def test_refuses_bombs_and_other_files(tmp_path):
    Image.new("1", (7000, 7000)).save(tmp_path / "bomb.png")
    with pytest.raises(EngineError, match="more than 40 megapixels"):
        open_picture(tmp_path / "bomb.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "it.bmp")
    with pytest.raises(EngineError, match="can't be read as a picture"):
        open_picture(tmp_path / "it.bmp")
