"""Any image file becomes what is trained on: upright, opaque, 8 bits deep; what is none is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dae.data.image_file import NotAnImageError, Preprocessing, opened

RAMP = np.linspace(0, 65535, 1024).round().reshape(32, 32)
RAMP_8 = np.rint(RAMP / 257).astype(np.uint8)
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def levels(path: Path, channels: int = 1, background: str = "white", size: int | None = None) -> np.ndarray:
    with Image.open(path) as image:
        side = size or max(image.size)
    how = Preprocessing(side, channels, "stretch", background)  # type: ignore[arg-type]
    return np.asarray(how.read(path), int)


@pytest.mark.parametrize(
    ("pixels", "name"),
    [
        (RAMP.astype("<u2"), "x.png"),
        (RAMP.astype("<u2"), "x.tif"),
        (RAMP.astype(">u2"), "x.tif"),
        (RAMP.astype("<u2"), "x.pgm"),
        (RAMP.astype("<i4"), "x.tif"),
        ((RAMP / 65535).astype("<f4"), "x.tif"),
    ],
)
def test_wide_levels_are_scaled(tmp_path, pixels, name):
    Image.fromarray(pixels).save(tmp_path / name)
    assert np.abs(levels(tmp_path / name) - RAMP_8).max() <= 1
    assert len(np.unique(levels(tmp_path / name, channels=3))) > 200


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        ((RAMP / 257).astype("<f4"), "its levels are 0 to 255, expected 0 to 1"),
        (np.full((4, 4), np.nan, "<f4"), "its levels are nan to nan"),
        ((3 * RAMP).astype("<i4"), "its levels are 0 to 196605, expected 0 to 65,535"),
    ],
)
def test_levels_whose_range_is_not_known_are_refused(tmp_path, pixels, words):
    Image.fromarray(pixels).save(tmp_path / "x.tif")
    with pytest.raises(NotAnImageError, match=words):
        levels(tmp_path / "x.tif")


@pytest.mark.parametrize(
    ("mode", "name"),
    [("RGBA", "x.png"), ("LA", "x.png"), ("P", "x.png"), ("RGBA", "x.gif"), ("RGBA", "x.webp")],
)
def test_black_ink_on_nothing_stays_to_be_seen(tmp_path, mode, name):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 4, 8, 8))
    image = image.quantize() if mode == "P" else image.convert(mode)
    image.save(tmp_path / name, lossless=True)
    assert levels(tmp_path / name)[[0, 7], 0].tolist() == [255, 0]
    assert levels(tmp_path / name, background="black")[[0, 7], 0].tolist() == [0, 0]


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_images_are_turned_upright(tmp_path, suffix, orientation):
    lying = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 3).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying.save(tmp_path / f"x.{suffix}", exif=exif, lossless=True, quality=100, subsampling=0)
    expected = lying.transpose(UPRIGHT[orientation]) if orientation > 1 else lying
    found = levels(tmp_path / f"x.{suffix}", channels=3)
    assert np.abs(found - np.asarray(expected, int)).max() < 3


@pytest.mark.parametrize(
    ("fit", "background", "corner", "middle"),
    [
        ("pad", "white", 255, 100),
        ("pad", "black", 0, 100),
        ("crop", "white", 100, 100),
        ("stretch", "white", 100, 100),
    ],
)
def test_images_that_are_not_square(tmp_path, fit, background, corner, middle):
    Image.new("L", (40, 10), 100).save(tmp_path / "x.png")
    found = np.asarray(Preprocessing(16, 1, fit, background).read(tmp_path / "x.png"))
    assert found.shape == (16, 16)
    assert (found[0, 0], found[8, 8]) == (corner, middle)


def test_a_damaged_png_is_told(tmp_path):
    """Pillow passes over the checksums of its pixels where it is not asked."""
    path = tmp_path / "x.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32), np.uint8)).save(path)
    whole, before = path.read_bytes(), levels(path).tolist()
    told = 0
    for place in range(0, len(whole), 13):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            assert levels(path, size=32).tolist() == before, f"byte {place} is wrong without a word"
        except (NotAnImageError, Image.UnidentifiedImageError):
            told += 1
    assert told > 50


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "no image of PNG"), (b"not a picture", "no image of PNG"), (None, "no regular file")],
)
def test_what_is_no_image(tmp_path, content, words):
    path = tmp_path / "x.png"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(NotAnImageError, match=words), opened(path):
        pass


def test_too_many_pixels(tmp_path, monkeypatch):
    Image.new("L", (40, 40)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(NotAnImageError, match="its 40 x 40 pixels are more than the 1,000"):
        levels(tmp_path / "x.png")
