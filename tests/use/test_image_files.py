from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from dae.cli import main
from dae.errors import ConfigError
from dae.use.images import find_images, read_picture
from helpers import draw_images

RAMP = np.add.outer(np.arange(30), 2 * np.arange(40)).astype(np.uint8)
COLOUR = np.stack([RAMP, 200 - RAMP, RAMP + 50], -1)
DEEP = RAMP.astype(np.uint16) * 300 + 7
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    draw_images(tmp_path / "in" / "sub", 2, (30, 40))
    draw_images(tmp_path / "in", 1, (20, 20), "L")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


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
    made = rewritten(tmp_path / name)
    with Image.open(tmp_path / name) as original:
        assert (made.format, made.mode) == (original.format, original.mode)
        assert np.array_equal(np.asarray(made), np.asarray(original))


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_metadata_stay_and_images_are_turned_upright(tmp_path, name):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    how: dict[str, Any] = {"exif": exif, "icc_profile": PROFILE, "dpi": (300, 300)}
    Image.fromarray(COLOUR).save(tmp_path / name, quality=71, **how)
    made = rewritten(tmp_path / name)
    assert made.size == (30, 40)
    assert (made.getexif().get(0x0112, 1), made.getexif()[0x010F]) == (1, "Maker")
    assert made.info["icc_profile"] == PROFILE


def test_files_and_folders_are_found_once_and_in_their_order(here):
    (here / "in" / ".hidden").mkdir()
    draw_images(here / "in" / ".hidden", 1, (5, 5))
    found = find_images([Path("in/sub/001.png"), Path("in"), Path("in/000.png")])
    assert [str(each.path) for each in found] == ["in/sub/001.png", "in/000.png", "in/sub/000.png"]
    assert [str(each.place) for each in found] == ["001.png", "000.png", "sub/000.png"]
    (here / "empty").mkdir()
    with pytest.raises(ConfigError) as caught:
        find_images([Path("empty"), Path("nowhere")])
    assert "empty: a folder without an image" in str(caught.value)
    assert "nowhere: no such file or folder" in str(caught.value)


def test_noise_keeps_names_and_sizes_and_is_the_same_again(here, capsys):
    assert main(["noise", "in", "--level", "0.1", "--out", "one"]) == 0
    assert sorted(capsys.readouterr().out.split()) == ["one/000.png", "one/sub/000.png", "one/sub/001.png"]
    assert main(["noise", "in/000.png", "--level", "0.1", "--out", "two"]) == 0
    assert np.array_equal(pixels("one/000.png"), pixels("two/000.png"))
    assert main(["noise", "in/000.png", "--level", "0.1", "--seed", "1", "--out", "three"]) == 0
    assert not np.array_equal(pixels("one/000.png"), pixels("three/000.png"))
    added = (pixels("one/sub/000.png") - pixels("in/sub/000.png"))[pixels("in/sub/000.png") == 90]
    assert added.std() == pytest.approx(25.5, rel=0.1)


def test_nothing_is_overwritten_unless_it_is_wished_and_no_original_ever(here, capsys):
    before = {path: path.read_bytes() for path in Path("in").rglob("*.png")}
    (here / "link").symlink_to("in")
    for out in ("in", "link", "in/sub/..", "."):
        assert main(["noise", "in", "--out", out, "--overwrite"]) == 2
        assert "images that are meant lie in it" in capsys.readouterr().err
    assert main(["noise", "in/000.png", "in/sub/000.png", "--out", "out"]) == 2
    assert "several images would be written to out/000.png" in capsys.readouterr().err
    (here / "file").write_text("")
    assert main(["noise", "in", "--out", "file"]) == 2
    assert main(["noise", "in", "--out", "file/deeper"]) == 1
    assert "cannot be written: Not a directory" in capsys.readouterr().err
    assert main(["noise", "in", "--out", "out"]) == 0
    made = {path: path.read_bytes() for path in Path("out").rglob("*.png")}
    assert main(["noise", "in", "--seed", "1", "--out", "out"]) == 2
    assert "--out out: holds something already" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in made} == made
    assert main(["noise", "in", "--seed", "1", "--out", "out", "--overwrite"]) == 0
    assert all(path.read_bytes() != content for path, content in made.items())
    assert {path: path.read_bytes() for path in before} == before
