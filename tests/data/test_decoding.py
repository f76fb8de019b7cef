"""What is made of one file, and of those that are no image."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from dae.data import decoding
from dae.data.decoding import Decoding, decode
from dae.data.image_set import ImageSet
from dae.data.sources import SOURCES
from dae.data.stored import StoredImages
from dae.errors import UserError
from helpers import draw_images


def picture(tmp_path: Path) -> Path:
    """32 x 16: black, but for a white border of 4 pixels to the left and to the right."""
    wide = Image.new("L", (32, 16), 255)
    wide.paste(0, (4, 0, 28, 16))
    wide.save(tmp_path / "wide.png")
    return tmp_path / "wide.png"


@pytest.mark.parametrize(
    ("fit", "background"), [("pad", "white"), ("pad", "black"), ("crop", "white"), ("stretch", "white")]
)
def test_images_that_are_not_square(tmp_path, fit, background):
    image = decode(picture(tmp_path), Decoding(16, 1, fit, background))
    assert image.size == (16, 16)
    middle = [image.getpixel((x, 8)) for x in (0, 8, 15)]
    corner, ground = image.getpixel((8, 0)), 255 if background == "white" else 0
    if fit == "pad":
        assert (corner, image.getpixel((8, 3)), image.getpixel((8, 4))) == (ground, ground, 0)
        assert middle == [255, 0, 255]
    else:
        assert corner == 0
        assert middle == ([0, 0, 0] if fit == "crop" else [255, 0, 255])


@pytest.mark.parametrize("size", [(500, 1), (1, 500)])
@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_very_long_images(tmp_path, size, fit):
    Image.new("RGB", size).save(tmp_path / "long.png")
    assert decode(tmp_path / "long.png", Decoding(16, 3, fit)).size == (16, 16)


def transparent(mode: str) -> Image.Image:
    """A hidden red; half of it is to be seen in the last row."""
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 7, 8, 8))
    return image.convert(mode)


@pytest.mark.parametrize(("background", "level"), [("white", 255), ("black", 0)])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_the_background_lies_under_transparency(tmp_path, mode, background, level):
    image = transparent(mode if mode in ("RGBA", "LA") else "RGBA")
    more: dict[str, Any] = {}
    if mode == "P":  # a palette with alpha
        image = image.quantize()
    if mode == "RGB":  # a colour that counts as transparent
        image = Image.new("RGB", (8, 8), (0, 9, 9))
        image.paste((255, 0, 0), (0, 7, 8, 8))
        more = {"transparency": (0, 9, 9)}
    image.save(tmp_path / "clear.png", **more)
    laid = decode(tmp_path / "clear.png", Decoding(8, 3, background=background))
    assert laid.getpixel((3, 3)) == (level, level, level)
    shown = laid.getpixel((3, 7))
    assert shown == ((255, 0, 0) if mode != "LA" else (76, 76, 76))


def read(root: Path, **more: Any) -> ImageSet:
    return SOURCES["image_folder"](root, 16, 3, **more)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """20 images, three of which are none: text, half an image, one that asks for too much."""
    for name in "ab":
        draw_images(tmp_path / "images" / name, 10)
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(whole, "PNG")
    bad = {"a/002.png": b"text", "b/004.png": whole.getvalue()[:-2000], "b/005.png": b""}
    for name, content in bad.items():
        (tmp_path / "images" / name).write_bytes(content)
    return tmp_path / "images"


def test_a_file_that_is_no_image_is_an_error(root):
    with pytest.raises(UserError, match=r"002\.png cannot be read as an image: .*data\.bad_images=skip"):
        read(root)


@pytest.mark.parametrize("in_memory", [True, False])
def test_or_is_left_out_and_named(root, monkeypatch, in_memory):
    first = read(root, bad_images="skip", in_memory=in_memory)
    assert isinstance(first.train.images, StoredImages) != in_memory
    assert len(first.train.labels) + len(first.test.labels) == 17
    assert torch.bincount(torch.cat([first.train.labels, first.test.labels])).tolist() == [9, 8]
    assert first.unused[0].startswith("3 files in ")
    assert first.unused[0].endswith("no image that can be read: a/002.png, b/004.png, b/005.png")
    assert first.unused[0] in first.notes
    for split in (first.train, first.test):
        assert split.images[:].flatten(1).any(1).all(), "no blank image is among them"
    monkeypatch.setattr(decoding, "_decode", lambda *_: pytest.fail("decoded again"))
    again = read(root, bad_images="skip", in_memory=in_memory)
    assert again.checksum == first.checksum
    assert again.unused == first.unused


def test_skipped_without_a_cache(root):
    first = read(root, bad_images="skip")
    for file in (root / ".dae_cache").iterdir():
        file.unlink()
    (root / ".dae_cache").rmdir()
    (root / ".dae_cache").touch()
    assert read(root, bad_images="skip").checksum == first.checksum


def test_a_class_that_is_left_with_too_few(root):
    for number in range(6):
        (root / "b" / f"{number:03}.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"too few in b \(4\)"):
        read(root, bad_images="skip")


def test_nothing_is_left(tmp_path):
    draw_images(tmp_path / "train" / "a", 8)
    draw_images(tmp_path / "test" / "a", 1)
    (tmp_path / "test" / "a" / "000.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"test: found 1 file, none of which can be read as an image"):
        read(tmp_path, bad_images="skip")


def test_each_way_has_a_cache_of_its_own(tmp_path):
    draw_images(tmp_path / "a", 8, size=(24, 16))
    ways: list[dict[str, str]] = [{}, {"fit": "crop"}, {"background": "black"}, {"bad_images": "skip"}]
    sums = [read(tmp_path, **way).checksum for way in ways]
    assert len(set(sums[:3])) == 3
    assert sums[3] == sums[0]
    assert [read(tmp_path, **way).checksum for way in ways] == sums
