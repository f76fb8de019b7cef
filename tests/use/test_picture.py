from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from dae.use.picture import read_picture

RAMP = np.add.outer(np.arange(30), 2 * np.arange(40)).astype(np.uint8)
COLOUR = np.stack([RAMP, 200 - RAMP, RAMP + 50], -1)
DEEP = RAMP.astype(np.uint16) * 300 + 7
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def rewritten(path: Path) -> Image.Image:
    """What is made of a file by a change of nothing."""
    picture = read_picture(path)
    new = path.with_name(f"new_{path.name}")
    picture.write(new, picture.levels)
    image = Image.open(new)
    image.load()
    return image


def with_alpha(pixels: np.ndarray) -> Image.Image:
    image = Image.fromarray(pixels)
    image.putalpha(Image.fromarray(np.where(RAMP > 40, 255, 0).astype(np.uint8)))
    return image


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("a.png", Image.fromarray(COLOUR)),
        ("grey.png", Image.fromarray(RAMP)),
        ("deep.png", Image.fromarray(DEEP)),
        ("deep.tif", Image.fromarray(DEEP)),
        ("float.tif", Image.fromarray(RAMP.astype(np.float32) / 255)),
        ("deep.pgm", Image.fromarray(DEEP.astype(np.int32))),
        ("a.bmp", Image.fromarray(COLOUR)),
        ("a.ppm", Image.fromarray(COLOUR)),
        ("a.png", with_alpha(COLOUR)),
        ("grey.png", with_alpha(RAMP)),
        ("a.tif", with_alpha(COLOUR)),
        ("a.webp", with_alpha(COLOUR)),
    ],
)
def test_pixels_depth_transparency_and_format_stay(tmp_path, name, image):
    image.save(tmp_path / name, lossless=True)
    picture = read_picture(tmp_path / name)
    assert picture.lost == ()
    assert picture.levels.shape[1:] == (30, 40)
    made = rewritten(tmp_path / name)
    with Image.open(tmp_path / name) as original:
        assert (made.format, made.mode) == (original.format, original.mode)
        assert np.array_equal(np.asarray(made), np.asarray(original))


def test_metadata(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    folder = exif.get_ifd(0x8769)
    folder[0x9003] = "2026:01:01 00:00:00"
    exif[0x8769] = folder
    texts = PngInfo()
    texts.add_text("Title", "a ramp")
    for name in ("a.jpg", "a.png", "a.tif", "a.webp"):
        how: dict[str, Any] = {"exif": exif, "icc_profile": PROFILE, "dpi": (300, 300), "pnginfo": texts}
        Image.fromarray(COLOUR).save(tmp_path / name, quality=71, **how)
        made = rewritten(tmp_path / name)
        assert made.size == (30, 40), name  # upright
        found = made.getexif()
        assert found.get(0x0112, 1) == 1
        assert found[0x010F] == "Maker"
        assert found.get_ifd(0x8769)[0x9003] == "2026:01:01 00:00:00", name
        assert made.info["icc_profile"] == PROFILE
        if name != "a.webp":  # which has no place for it
            assert made.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        if name == "a.png":
            assert made.info["Title"] == "a ramp"
        if name == "a.jpg":
            with Image.open(tmp_path / name) as original:
                assert made.quantization == original.quantization  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "image", "how", "words"),
    [
        ("a.gif", Image.fromarray(COLOUR), {}, "palette of 256"),
        (
            "a.tif",
            Image.fromarray(COLOUR),
            {"save_all": True, "append_images": [Image.fromarray(RAMP)]},
            "others",
        ),
        ("a.jpg", Image.fromarray(COLOUR).convert("CMYK"), {"icc_profile": PROFILE[:16] + b"CMYK"}, "CMYK"),
        (
            "a.jpg",
            Image.fromarray(COLOUR).convert("CMYK"),
            {"icc_profile": PROFILE[:16] + b"CMYK"},
            "ICC profile",
        ),
        ("a.bmp", with_alpha(COLOUR), {}, ""),
    ],
)
def test_what_is_lost_is_told(tmp_path, name, image, how, words):
    image.save(tmp_path / name, **how)
    assert words in "; ".join(read_picture(tmp_path / name).lost)
    assert rewritten(tmp_path / name).mode in ("RGB", "P")


def test_transparency_of_a_palette_and_of_a_level(tmp_path):
    with_alpha(COLOUR).quantize(16).save(tmp_path / "p.png")
    with_alpha(COLOUR).save(tmp_path / "a.gif")
    for name in ("p.png", "a.gif"):
        with Image.open(tmp_path / name) as original:
            alpha = np.asarray(original.convert("RGBA"))[..., 3]
        assert 0 < (alpha == 0).sum() < alpha.size
        assert np.array_equal(np.asarray(rewritten(tmp_path / name).convert("RGBA"))[..., 3], alpha)
