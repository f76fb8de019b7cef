"""Images and folders as users have them: wide, transparent, damaged, linked, hidden, divided in any way."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import datasets

from dae.config.settings import find_problems
from dae.data import idx, walk
from dae.data.cache import ImageCache
from dae.data.decoding import Decoding, decode, read_images
from dae.data.folder import list_images, list_unlabelled, split_folders
from dae.data.headers import _header, read_headers
from dae.data.image_file import UPRIGHT, NotAnImageError, flat_image
from dae.data.image_set import ImageSet
from dae.data.images import ImageDataModule
from dae.data.sources import SOURCES
from dae.errors import ConfigError, UserError
from helpers import composed

RAMP = np.linspace(0, 65535, 8 * 32).round().reshape(8, 32)
RAMP_8 = np.rint(RAMP / 257).astype(np.uint8)


def read(root: Path, **more: Any) -> ImageSet:
    return SOURCES["image_folder"](root, 16, 3, **more)


def module(root: Path, source: str = "image_folder", **more: Any) -> ImageDataModule:
    arguments = {
        "batch_size": 8,
        "validation": 0.25,
        "split_seed": 0,
        "image_size": 16,
        "channels": 3,
        **more,
    }
    data = ImageDataModule(source, root, **arguments)
    data.setup()
    return data


def grey(path: Path, background: str = "white") -> np.ndarray:
    return np.asarray(flat_image(path, 1, background)[0])


def draw(root: Path, **counts: int) -> Path:
    """So many images in each folder, no two alike."""
    for name, count in counts.items():
        place = root / name
        place.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            seed = zlib.crc32(f"{place}{number}".encode())
            pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(place / f"{number:02}.png")
    return root


def draw_split(root: Path, *splits: str, count: int = 6) -> Path:
    for split in splits:
        draw(root / split, a=count, b=count)
    return root


def counts(images: ImageSet) -> tuple[int, int]:
    return len(images.train.labels), len(images.test.labels)


# Wide modes, transparency, EXIF, several frames


@pytest.mark.parametrize(
    ("pixels", "name", "how"),
    [
        (RAMP.astype("<u2"), "x.png", {}),
        (RAMP.astype("<u2"), "x.tif", {}),
        (RAMP.astype(">u2"), "x.tif", {}),
        (RAMP.astype("<u2"), "x.tif", {"compression": "tiff_lzw"}),
        (65535 - RAMP.astype("<u2"), "x.tif", {"tiffinfo": {262: 0}}),  # white is zero
        (RAMP.astype("<u2"), "x.pgm", {}),
        (RAMP.astype("<i4"), "x.tif", {}),
        ((RAMP / 65535).astype("<f4"), "x.tif", {}),
    ],
)
def test_wide_levels_are_scaled_by_their_own_range(tmp_path, pixels, name, how):
    Image.fromarray(pixels).save(tmp_path / name, **how)
    assert np.array_equal(grey(tmp_path / name), RAMP_8)
    colour = decode(tmp_path / name, Decoding(32, 3, fit="stretch"))
    assert len(np.unique(np.asarray(colour)[..., 0])) > 200


@pytest.mark.parametrize(
    ("pixels", "name", "words"),
    [
        ((RAMP / 257).astype("<f4"), "x.tif", r"its levels are 0 to 255, expected 0 to 1"),
        (np.full((4, 4), np.nan, "<f4"), "x.tif", r"its levels are nan to nan"),
        (np.full((4, 4), np.inf, "<f4"), "x.tif", r"its levels are inf to inf"),
        ((3 * RAMP).astype("<i4"), "x.tif", r"its levels are 0 to 196605, expected 0 to 65,535"),
        (-RAMP.astype("<i4"), "x.tif", r"its levels are -65535 to 0"),
        ((RAMP / 257).astype("<u2"), "x.png", r"its levels, 0 to 255 of 65,535, would become two"),
    ],
)
def test_what_has_no_range_that_is_known_is_refused_by_name(tmp_path, pixels, name, words):
    draw(tmp_path, a=6)
    Image.fromarray(pixels).save(tmp_path / "a" / name)
    with pytest.raises(UserError, match=rf"a/{name} cannot be read as an image: {words}.*bad_images=skip"):
        read(tmp_path)
    images = read(tmp_path, bad_images="skip")
    assert sum(counts(images)) == 6
    assert any(name in line for line in images.unused)


def png(depth: int, colour: int, row: bytes, transparent: bytes) -> bytes:
    """A PNG of one row of 2 pixels that names a transparent colour."""
    header = struct.pack(">IIBBBBB", 2, 1, depth, colour, 0, 0, 0)
    chunks = {b"IHDR": header, b"tRNS": transparent, b"IDAT": zlib.compress(b"\0" + row), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    )


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (png(1, 0, b"\x80", b"\0\1"), 0),
        (png(2, 0, b"\x60", b"\0\1"), 170),
        (png(4, 0, b"\x59", b"\0\5"), 153),
        (png(8, 0, b"\x05\x99", b"\0\5"), 153),
        (png(16, 0, b"\x80\x05\x99\x99", b"\x80\x05"), 153),
        (png(8, 2, b"\1\2\3\x99\x99\x99", b"\0\1\0\2\0\3"), 153),
        (png(16, 2, b"\1\7\2\7\3\7\x99\0\x99\0\x99\0", b"\1\7\2\7\3\7"), 153),
    ],
)
@pytest.mark.parametrize(("background", "ground"), [("white", 255), ("black", 0)])
def test_a_colour_that_counts_as_transparent_at_any_depth(tmp_path, content, shown, background, ground):
    (tmp_path / "x.png").write_bytes(content)
    assert grey(tmp_path / "x.png", background).tolist() == [[ground, shown]]


def black_ink(mode: str) -> Image.Image:
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 4, 8, 8))
    return image.quantize() if mode == "P" else image.convert(mode)


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("RGBA", "x.png"),
        ("LA", "x.png"),
        ("P", "x.png"),
        ("RGBA", "x.gif"),
        ("LA", "x.tif"),
        ("RGBA", "x.webp"),
    ],
)
def test_black_ink_on_nothing_stays_to_be_seen(tmp_path, mode, name):
    black_ink(mode).save(tmp_path / name, lossless=True)  # which WebP alone looks at
    assert grey(tmp_path / name)[[0, 7], 0].tolist() == [255, 0]


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", [1, *UPRIGHT])
def test_images_are_turned_upright_and_headers_say_the_same(tmp_path, suffix, orientation):
    lying = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8) * 5).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying.save(tmp_path / f"x.{suffix}", exif=exif, lossless=True, quality=100, subsampling=0)
    expected = lying.transpose(UPRIGHT[orientation]) if orientation > 1 else lying
    image, _ = flat_image(tmp_path / f"x.{suffix}", 3, "white")
    assert image.size == expected.size
    assert np.abs(np.asarray(image, int) - np.asarray(expected, int)).max() < 3
    assert read_headers(list_images(tmp_path)).found[0].size == expected.size


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_turns_nothing(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("L", (8, 6)).save(tmp_path / "x.jpg", exif=exif)
    assert flat_image(tmp_path / "x.jpg", 1, "white")[0].size == (8, 6)
    assert read_headers(list_images(tmp_path)).found[0].size == (8, 6)


@pytest.mark.parametrize(("low", "words"), [(0, None), (-3, "some of its levels are below 0")])
def test_signed_levels_of_8_bits(tmp_path, low, words):
    pixels = np.arange(low, low + 64, dtype=np.int8).tobytes()
    tags = (
        (256, 8),
        (257, 8),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, 8),
        (279, 64),
        (339, 2),
    )
    head = struct.pack("<2sHI", b"II", 42, 8 + 64) + pixels + struct.pack("<H", len(tags))
    (tmp_path / "x.tif").write_bytes(
        head + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags) + bytes(4)
    )
    if words is None:
        assert grey(tmp_path / "x.tif").max() == 63
        return
    with pytest.raises(NotAnImageError, match=words):
        grey(tmp_path / "x.tif")


@pytest.mark.parametrize(
    ("mode", "name"), [("CMYK", "x.jpg"), ("CMYK", "x.tif"), ("YCbCr", "x.tif"), ("P", "x.bmp")]
)
def test_other_ways_to_write_red(tmp_path, mode, name):
    Image.new("RGB", (16, 16), (255, 0, 0)).convert(mode).save(tmp_path / name)
    colour = np.asarray(flat_image(tmp_path / name, 3, "white")[0], int)[3, 3]
    assert np.abs(colour - [255, 0, 0]).max() < 5
    assert abs(int(grey(tmp_path / name)[3, 3]) - 76) < 3


def test_one_line_says_what_was_converted(tmp_path, caplog):
    draw(tmp_path, a=12, b=12)
    Image.fromarray(RAMP.astype("<u2")).save(tmp_path / "a" / "deep.png")
    black_ink("RGBA").save(tmp_path / "a" / "clear.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.effect_noise((9, 8), 50).save(tmp_path / "b" / "turned.jpg", exif=exif)
    frames = [Image.new("L", (8, 8), level) for level in (40, 200)]
    frames[0].save(tmp_path / "b" / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "b" / "pages.tif", save_all=True, append_images=frames[1:])
    assert grey(tmp_path / "b" / "moving.gif")[0, 0] == grey(tmp_path / "b" / "pages.tif")[0, 0] == 40
    told = (
        f"of 29 images in {tmp_path}: 1 of more than 8 bits scaled to 8, 1 transparent laid on white, "
        "1 turned upright as their EXIF says, 2 of several frames or pages, of which the first is used"
    )
    caplog.set_level("INFO")
    for in_memory in (True, False):  # the second is read from the cache
        images = read(tmp_path, in_memory=in_memory)
        assert images.converted == (told,)
        assert told in images.notes
    module(tmp_path)
    assert f"Converted: {told}" in caplog.text


# Files that are no image


def bad_files(place: Path) -> list[str]:
    """Eleven files that cannot be read, none of them like another."""
    whole = place / "00.png"
    content = whole.read_bytes()
    (place / "cut.png").write_bytes(content[:-40])
    (place / "empty.png").touch()
    (place / "flipped.png").write_bytes(content[:60] + bytes([content[60] ^ 1]) + content[61:])
    (place / "text.jpg").write_text("no picture")
    (place / "program.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n")
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"IHDR" + header
    (place / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + bomb + struct.pack(">I", zlib.crc32(bomb))
    )
    (place / "large.bmp").write_bytes(
        b"BM" + struct.pack("<IHHIIiiHH", 54, 0, 0, 54, 40, 10_000, 10_000, 1, 24) + bytes(24)
    )
    (place / "dangling.png").symlink_to("nowhere.png")
    (place / "itself.png").symlink_to("itself.png")
    os.mkfifo(place / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(place)  # the name of a socket has 108 characters at most
        try:
            server.bind("socket.png")
        finally:
            os.chdir(here)
    names = (
        "cut.png empty.png flipped.png text.jpg program.png bomb.png large.bmp dangling.png itself.png "
        "pipe.png socket.png"
    )
    return sorted(names.split())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no pipes in folders")
def test_all_bad_files_are_counted_and_ten_named(tmp_path):
    draw(tmp_path, a=9, b=9)
    names = bad_files(tmp_path / "b")
    with pytest.raises(UserError) as caught:
        read(tmp_path)
    told = str(caught.value)
    assert f"{tmp_path}/b/bomb.png cannot be read as an image: " in told
    assert "So it is with 11 of 29 files. To leave such files out: data.bad_images=skip" in told
    assert [name for name in names if name in told] == names[:10]
    assert "    and 1 more" in told
    assert "b/pipe.png: it is no regular file" in told
    assert "b/empty.png: it is empty" in told
    assert "b/flipped.png: it is damaged or cut: a checksum in it is wrong" in told
    for in_memory in (True, False):
        images = read(tmp_path, bad_images="skip", in_memory=in_memory)
        assert sum(counts(images)) == 18
        (line,) = (line for line in images.unused if "no image that can be read" in line)
        assert line.startswith(f"11 files in {tmp_path}: left out")
        assert line.endswith("b/itself.png, b/large.bmp, b/pipe.png, b/program.png, b/socket.png ...")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("Decompressed data too large"),
        SyntaxError("not a TIFF file"),
        struct.error("unpack requires a buffer"),
        OverflowError("too large"),
        MemoryError(),
        zlib.error("incorrect header"),
        KeyError(3),
        TypeError("'NoneType'"),
        AssertionError(),
        RecursionError(),
        Image.DecompressionBombError("too many pixels"),
    ],
)
def test_whatever_pillow_raises_is_told_by_file(tmp_path, monkeypatch, error):
    draw(tmp_path, a=5)

    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(Image, "open", fails)
    with pytest.raises(UserError, match="looked at 5 files, none can be read as an image"):
        read_headers(list_images(tmp_path))
    with pytest.raises(
        UserError, match=r"a/00\.png cannot be read as an image: .*So it is with 5 of 5 files"
    ):
        read_images(list_images(tmp_path), tmp_path, Decoding(8, 1), in_memory=True)


# Splits


@pytest.mark.parametrize(
    ("splits", "own"),
    [
        (("train", "test"), False),
        (("Train", "TEST"), False),
        (("training", "testing"), False),
        (("train", "val", "test"), True),
        (("Training", "Valid", "Test"), True),
        (("TRAIN", "validation", "testing"), True),
        (("training_set", "test_set"), False),
        (("train-images", "val-images", "Test Images"), True),
    ],
)
def test_splits_of_any_case_and_their_other_words(tmp_path, splits, own):
    draw_split(tmp_path, *splits)
    images = read(tmp_path, own_validation=own)
    assert images.classes == ("a", "b")
    assert counts(images) == (12, 12)
    assert (images.val is not None) == own
    if own:
        assert f"{tmp_path / splits[1]} is not used: data.validation=val" in read(tmp_path).unused[0]


@pytest.mark.parametrize("name", ["val", "Valid", "validation"])
def test_a_val_without_a_test_is_the_test(tmp_path, name, caplog):
    draw_split(tmp_path, "train")
    draw_split(tmp_path, name, count=3)
    data = module(tmp_path)
    assert [len(split.labels) for split in (data.train, data.val, data.test)] == [9, 3, 6]
    assert (
        f"{tmp_path / name} is the test set, since there is no test/; validation is cut from" in caplog.text
    )
    own = module(tmp_path, validation="val")
    assert [len(split.labels) for split in (own.train, own.val, own.test)] == [9, 6, 3]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("train",), r"found train/ alone; expected train/ and test/.*data\.root=\S+/train"),
        (("Test",), r"found Test/ alone.*data\.root=\S+/Test"),
        (("val", "test"), r"found test/ and val/ alone.*put the images to train on into \S+/train"),
        (("train", "Train", "test"), r"two of Train/ and test/ and train/ mean the same split"),
        (("train", "val", "valid"), r"two of train/ and val/ and valid/ mean the same split"),
        (("train", "cat"), r"found train/, .* beside cat, .*mv \S+/train \S+/trains"),
        (("seg_train", "seg_test"), r"seem to divide the images, .*mv \S+/seg_train \S+/train"),
        (("1-train", "2-val", "cat"), r"1-train/ and 2-val/ seem to divide the images"),
        (("train_1", "train_2", "Test_1"), r"Test_1/ and train_2/ seem to divide the images"),
        (("train", "test", "cat"), r"found test/ and train/, which would divide the images, beside cat"),
    ],
)
def test_folders_that_divide_the_images_in_no_clear_way(tmp_path, names, words):
    draw_split(tmp_path, *names)
    with pytest.raises(UserError, match=words):
        split_folders(tmp_path)


def test_classes_that_are_called_somewhat_like_splits(tmp_path):
    draw(tmp_path, steam_train=5, blood_test=5, trains=5, train1=5, train2=5)
    assert len(read(tmp_path).classes) == 5


def test_a_class_of_which_no_image_can_be_read_is_told(tmp_path):
    draw_split(tmp_path, "train", "test")
    for file in (tmp_path / "test" / "b").iterdir():
        file.write_bytes(b"x")
    with pytest.raises(UserError, match=r"/test: without the 6 files .* no image of b is left: b/00\.png"):
        read(tmp_path, bad_images="skip")


def test_what_holds_no_images_may_lie_beside_the_splits(tmp_path):
    draw_split(tmp_path, "train", "test")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "notes.txt").touch()
    draw(tmp_path, **{".": 2})
    images = read(tmp_path)
    assert counts(images) == (12, 12)
    assert images.unused[0].startswith(f"2 images in {tmp_path} itself: not used")


@pytest.mark.parametrize(
    ("names", "words"), [(("set",), r"data\.root=\S+/set"), (("a", "b"), r"train/<class>")]
)
def test_splits_below_what_would_be_classes(tmp_path, names, words):
    for name in names:
        draw(tmp_path / name, train=5, test=5)
    with pytest.raises(UserError, match=rf"found train/ and test/ below what would be a class; .*{words}"):
        list_images(tmp_path)


def test_one_folder_under_two_names(tmp_path):
    draw_split(tmp_path, "train")
    (tmp_path / "test").symlink_to("train")
    with pytest.raises(UserError, match="two of test/ and train/ are one and the same folder"):
        read(tmp_path)


# What else lies in a folder


def test_what_is_hidden_is_left_out_at_every_level(tmp_path):
    draw_split(tmp_path, "train", "test")
    before = read(tmp_path).checksum
    litter = ("__MACOSX", ".ipynb_checkpoints", "@eaDir", ".x")
    for place in (".", "train", "train/a", "train/a/deep"):
        draw(tmp_path / place, **dict.fromkeys(litter, 2))
        for name in ("._00.png", ".hidden.png", "Thumbs.db", ".DS_Store"):
            (tmp_path / place / name).write_bytes(b"nothing")
    images = read(tmp_path)
    assert images.checksum == before
    assert images.unused == ()


@pytest.mark.parametrize(
    ("place", "target"),
    [("a/loop", ".."), ("a/self", "."), ("b/deep/up", "../.."), ("loop", "."), ("a/0", "../b")],
)
def test_each_file_counts_once_where_it_lies(tmp_path, place, target):
    draw(tmp_path, a=12, b=12)
    before = list_images(tmp_path)
    link = tmp_path / place
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(target)
    listing = list_images(tmp_path)
    assert (listing.files, listing.labels, listing.classes) == (before.files, before.labels, before.classes)
    if "/" in place:
        assert (
            f"1 path in {tmp_path}: left out, leading to what counts elsewhere already: {place}"
            in listing.unused
        )
        assert listing.unused[0] in read(tmp_path).unused


def test_links_out_of_the_folder_are_followed_once(tmp_path):
    root = draw(tmp_path / "images", a=5)
    other = draw(tmp_path / "other", b=5, c=3)
    (root / "b").symlink_to(other / "b")
    (root / "b2").symlink_to(other / "b")
    (root / "a" / "more").symlink_to(other / "c")
    (root / "a" / "again").symlink_to(other / "c")
    (root / "a" / "one.png").symlink_to(other / "c" / "00.png")
    os.link(root / "a" / "00.png", root / "a" / "same.png")
    listing = list_images(root)
    assert listing.classes == ("a", "b")
    assert torch.bincount(torch.tensor(listing.labels)).tolist() == [8, 5]
    assert listing.unused[0].startswith(f"4 paths in {root}: left out")


def test_a_loop_without_classes(tmp_path):
    draw(tmp_path, images=6)
    (tmp_path / "images" / "deep").mkdir()
    (tmp_path / "images" / "deep" / "loop").symlink_to(tmp_path)
    assert len(list_unlabelled(tmp_path / "images").files) == 6


def test_links_that_lead_nowhere_and_images_of_other_kinds(tmp_path):
    draw(tmp_path, a=5)
    (tmp_path / "b").symlink_to("gone")
    (tmp_path / "a" / "x.svg").touch()
    (tmp_path / "a" / "labels.csv").touch()
    told = list_images(tmp_path).unused
    assert len(told) == 2
    assert "1 image in " in told[0]
    assert told[0].endswith("a/x.svg")
    assert told[1].endswith("leading to nothing: b")


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    draw(tmp_path, a=5, b=5)
    scan = os.scandir

    def scandir(place: Any) -> Any:
        if Path(place).name == "b":
            raise PermissionError(13, "Permission denied")
        return scan(place)

    monkeypatch.setattr(walk.os, "scandir", scandir)
    with pytest.raises(UserError, match=r"/b: this folder of images cannot be read: Permission denied"):
        list_images(tmp_path)


@pytest.mark.parametrize("source", ["image_folder", "mnist"])
@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "file/x"])
def test_a_root_that_cannot_be(tmp_path, monkeypatch, source, name):
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"is not a folder|could not be downloaded"):
        module(tmp_path / name, source)


def test_names_that_no_terminal_shows(tmp_path):
    draw(tmp_path, a=5)
    (tmp_path / "a" / "\x1b[2J.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"a/\\x1b\[2J\.png cannot be read"):
        read(tmp_path)
    (tmp_path / "a").rename(tmp_path / os.fsdecode(b"\xff"))
    with pytest.raises(UserError, match=r"the name of class \\udcff cannot be shown"):
        read(tmp_path)


def test_images_that_are_trained_and_tested_on(tmp_path):
    draw_split(tmp_path, "train", "test", "val")
    for number in range(3):
        shutil.copy(
            tmp_path / "train" / "a" / f"0{number}.png", tmp_path / "test" / "b" / f"copy {number}.png"
        )
    shutil.copy(tmp_path / "test" / "a" / "00.png", tmp_path / "val" / "a" / "copy.png")
    what = "the same in every byte as training images: what is measured on them promises too much"
    assert f"3 of 15 test images are {what}" in read(tmp_path).unused
    told = read(tmp_path, own_validation=True).unused
    assert any(
        line.startswith("1 of 15 test images is the same in every byte as validation") for line in told
    )
    further = draw(tmp_path / "further", x=3)
    shutil.copy(tmp_path / "test" / "a" / "01.png", further)
    told = read(tmp_path, unlabelled=further).unused
    assert any("1 of 15 test images is the same in every byte as unlabelled" in line for line in told)
    assert not any(
        "same in every byte" in line for line in read(draw(tmp_path.with_name("other"), a=9)).unused
    )


def test_which_side_lacks_a_class(tmp_path):
    draw(tmp_path / "train", a=5, b=5)
    draw(tmp_path / "Test", a=5)
    with pytest.raises(UserError, match=r"train/ and in Test/ differ: b \(Test/ lacks b\)"):
        read(tmp_path)


# The cache


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(
    "damage", ["header", "pixel", "mark", "digest", "longer", "empty", "pickle", "another", "pipe"]
)
def test_a_damaged_or_foreign_cache_is_built_anew(tmp_path, caplog, damage, in_memory):
    draw(tmp_path, a=6)
    first = read(tmp_path, in_memory=in_memory).checksum
    (path,) = (tmp_path / ".dae_cache").iterdir()
    content = bytearray(path.read_bytes())
    place = {"header": 20, "pixel": 200, "mark": -33, "digest": -1}.get(damage)
    if place is not None:
        content[place] ^= 1
        path.write_bytes(content)
    elif damage == "another":  # a whole one, of other images
        other = ImageCache(tmp_path, "x", "y", (6, 3, 16, 16))
        other.write([np.zeros((6, 3, 16, 16), np.uint8)])
        other.path.replace(path)
    elif damage == "pickle":
        np.save(path, np.array([{"a": 1}], dtype=object))
    elif damage == "pipe":
        path.unlink()
        os.mkfifo(path)
    else:
        path.write_bytes(content + b"x" if damage == "longer" else b"")
    caplog.clear()
    assert read(tmp_path, in_memory=in_memory).checksum == first
    assert damage == "pipe" or "cache of decoded images is of no use and is built anew" in caplog.text
    assert path.read_bytes() == content if damage in ("longer", "empty", "pickle", "another") else True


# idx files

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.fixture
def idx_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make a small set of one of the three names: packed, unpacked or both."""

    def make(name: str, packed: bool, unpacked: bool) -> Path:
        raw = tmp_path / name / "raw"
        raw.mkdir(parents=True)
        generator = np.random.default_rng(0)
        resources, sums = [], {}
        for file in NAMES:
            count = 40 if file.startswith("train") else 20
            labels = np.arange(count, dtype=np.uint8) % 10
            array = generator.integers(0, 255, (count, 28, 28), np.uint8) if "images" in file else labels
            content = idx_bytes(array)
            sums[file] = hashlib.md5(content).hexdigest()
            small = gzip.compress(content)
            resources.append((f"{file}.gz", hashlib.md5(small).hexdigest()))
            if packed:
                (raw / f"{file}.gz").write_bytes(small)
            if unpacked:
                (raw / file).write_bytes(content)
        dataset = getattr(datasets, name)
        monkeypatch.setattr(dataset, "resources", resources)
        monkeypatch.setattr(dataset, "mirrors", ["http://127.0.0.1:9/"])
        if name in idx.UNPACKED:
            monkeypatch.setitem(idx.UNPACKED, name, sums)
        return raw

    return make


def swap(one: Path, other: Path) -> None:
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def flip(path: Path, place: int = -5) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


UNKNOWN = r"could not be downloaded: .*\n(.*\n)+.*{}.*\(unpacked there, but its md5 is"


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("MNIST", lambda raw: swap(raw / NAMES[1], raw / NAMES[3]), UNKNOWN.format(NAMES[1])),
        ("FashionMNIST", lambda raw: flip(raw / NAMES[0]), UNKNOWN.format(NAMES[0])),
        ("MNIST", lambda raw: (raw / NAMES[2]).write_bytes(b""), UNKNOWN.format(NAMES[2])),
        ("KMNIST", lambda raw: None, UNKNOWN.format(NAMES[0])),
        ("KMNIST", lambda raw: ((raw / NAMES[2]).unlink(), (raw / NAMES[2]).mkdir()), "is no regular file"),
        ("KMNIST", lambda raw: (raw / f"{NAMES[2]}.gz").mkdir(), "is no regular file"),
        ("KMNIST", lambda raw: os.truncate(raw / NAMES[0], 2**29), "far more than that file of the data set"),
    ],
)
def test_unpacked_files_serve_if_their_md5_is_known(idx_set, name, damage, words):
    raw = idx_set(name, packed=False, unpacked=True)
    source = {"MNIST": "mnist", "KMNIST": "kmnist", "FashionMNIST": "fashion_mnist"}[name]
    if name != "KMNIST":
        assert SOURCES[source](raw.parents[1], 28, 1).test.labels.tolist() == 2 * [*range(10)]
    damage(raw)
    with pytest.raises(UserError, match=words):
        SOURCES[source](raw.parents[1], 28, 1)


def test_of_two_files_the_one_whose_md5_is_right_serves(idx_set):
    raw = idx_set("FashionMNIST", packed=True, unpacked=True)
    first = SOURCES["fashion_mnist"](raw.parents[1], 28, 1)
    for damaged_file in (raw / NAMES[0], raw / f"{NAMES[1]}.gz"):
        flip(damaged_file)
        assert SOURCES["fashion_mnist"](raw.parents[1], 28, 1).checksum == first.checksum


def test_a_damaged_packed_file_is_loaded_again(idx_set, monkeypatch):
    raw = idx_set("MNIST", packed=True, unpacked=False)
    flip(raw / f"{NAMES[2]}.gz")
    with pytest.raises(UserError, match=r"could not be downloaded: .*\n(.*\n)+.*t10k-images.*but its md5 is"):
        SOURCES["mnist"](raw.parents[1], 28, 1)
    assert len([*raw.iterdir()]) == 4, "nothing is left of what could not be loaded"


# Messages


@pytest.mark.parametrize(
    ("counts", "validation", "words"),
    [
        ({"a": 6, "b": 6}, 12, r"12 images held out of 12, expected 1 to 10: .*\n +try data\.validation=1$"),
        ({"a": 6, "b": 6}, 0.01, r"0 images held out of 12, .*\n +try data\.validation=1$"),
        ({"a": 1, "b": 1}, 1, r"1 image held out of 2, but none can be: .*\n +try data\.validation=test$"),
        ({"a": 25, "b": 25}, "val", r"no validation images of its own\n +try data\.validation=5$"),
    ],
)
def test_the_validation_that_is_proposed_works(tmp_path, counts, validation, words):
    draw(tmp_path / "train", **counts)
    draw(tmp_path / "test", **counts)
    with pytest.raises(ConfigError, match=words) as caught:
        module(tmp_path, validation=validation)
    proposed = str(caught.value).rpartition("=")[2]
    module(tmp_path, validation=proposed if proposed == "test" else int(proposed))


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"labels": 1}, "try data.labels=10/class"),
        ({"labels": 1, "limit": 1}, "try data.labels=10/class data.limit=null"),
        ({"labels": "10/class", "limit": 1}, "try data.limit=null"),
    ],
)
def test_what_is_proposed_is_not_in_force(tmp_path, changes, hint):
    draw(tmp_path, a=9, b=9)
    with pytest.raises(ConfigError) as caught:
        module(tmp_path, **changes)
    assert str(caught.value).endswith(f"\n      {hint}")


def test_labels_beyond_the_images_are_refused_when_the_data_are_known(tmp_path):
    draw(tmp_path, a=9, b=9)
    with pytest.raises(
        ConfigError, match=r"data\.labels: found 99, but 10 training images are left after validation"
    ):
        module(tmp_path, labels=99)


@pytest.mark.parametrize("value", ["1e3", "2", "rgb"])
def test_one_problem_for_a_key_that_others_follow(value):
    problems = find_problems(composed("data=digits", f"data.channels={value}"))
    assert [problem.where for problem in problems] == ["data.channels"]
    assert "expected 1 or 3" in problems[0].what


# Random damage

Damage = list[tuple[str, float, int]]
DAMAGE = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "zeros"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 255),
    ),
    min_size=1,
    max_size=3,
)


def damaged(content: bytes, damage: Damage) -> bytes:
    """The content with bytes changed, cut off or put in at those shares of its length."""
    for kind, share, number in damage:
        place = int(share * len(content))
        before, after = content[:place], content[place:]
        if kind == "flip" and after:
            after = bytes([after[0] ^ number]) + after[1:]
        elif kind == "insert":
            after = bytes([number]) + after
        elif kind == "zeros":
            after = bytes(len(after[:number])) + after[number:]
        elif kind == "cut":
            after = b""
        content = before + after
    return content


def random_form(examples: int) -> Callable[..., Any]:
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


PICTURES: dict[str, dict[str, Any]] = {
    "x.png": {},
    "deep.png": {},
    "x.jpg": {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"},
    "x.tif": {"compression": "tiff_lzw"},
    "deep.tif": {},
    "x.gif": {},
    "x.bmp": {},
    "x.webp": {},
    "x.ppm": {},
}


def damage_picture(folder: Path, name: str, damage: Damage) -> str:
    """Damage a picture, read it, and say what has come of it."""
    path = folder / name
    if not path.exists():
        picture = Image.fromarray(RAMP.astype("<u2" if "deep" in name else "u1"))
        picture.save(path, **PICTURES[name])
    whole = path.read_bytes()
    content = damaged(whole, damage)
    before = decode(path, Decoding(16, 3)).tobytes()
    try:
        path.write_bytes(content)
        header = _header(path)
        after = decode(path, Decoding(16, 3)).tobytes()
    except NotAnImageError as error:
        return "refused in words" if str(error) else "refused without a word"
    finally:
        path.write_bytes(whole)
    assert header is not None
    if after == before:
        return "read the same"
    # Of the formats only PNG has checksums; what is changed in another cannot be known.
    assert not name.endswith("png"), "wrong without a word"
    return "read otherwise, in a format without checksums"


@random_form(40)
@given(name=st.sampled_from(["x.png", "deep.png", "x.jpg", "x.tif"]), damage=DAMAGE)
def test_damaged_pictures(tmp_path, name, damage):
    damage_picture(tmp_path, name, damage)


@pytest.mark.faults
@random_form(400)
@given(name=st.sampled_from([*PICTURES]), damage=DAMAGE)
def test_many_damaged_pictures(tmp_path, tally, name, damage):
    tally("image files, random damage", damage_picture(tmp_path, name, damage))


def read_damaged(source: str, raw: Path, first: str) -> str:
    """Read a set of idx files of which one is damaged, and say what has come of it."""
    try:
        images = SOURCES[source](raw.parents[1], 28, 1)
    except UserError as error:
        return "refused in words" if "idx" in str(error) else "refused, but no file is named"
    assert images.checksum == first, "wrong without a word"
    return "read the same"


@pytest.mark.faults
@pytest.mark.parametrize(
    ("name", "source", "packed"),
    [("MNIST", "mnist", False), ("FashionMNIST", "fashion_mnist", True), ("KMNIST", "kmnist", True)],
)
def test_many_damaged_idx_files(idx_set, tally, name, source, packed):
    raw = idx_set(name, packed=packed, unpacked=not packed)
    first = SOURCES[source](raw.parents[1], 28, 1).checksum
    files = sorted(raw.iterdir())

    @random_form(50)
    @given(file=st.sampled_from(files), damage=DAMAGE)
    def attack(file: Path, damage: Damage) -> None:
        whole = file.read_bytes()
        file.write_bytes(damaged(whole, damage))
        tally("small idx files, random damage", read_damaged(source, raw, first))
        file.write_bytes(whole)

    @random_form(12)
    @given(pair=st.permutations(files))
    def exchange(pair: list[Path]) -> None:
        swap(*pair[:2])
        tally("small idx files, exchanged", read_damaged(source, raw, first))
        swap(*pair[:2])

    attack()
    exchange()


@pytest.mark.faults
@pytest.mark.mnist
@pytest.mark.parametrize("packed", [True, False])
def test_many_damages_of_mnist(mnist_root, tmp_path, tally, monkeypatch, packed):
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in (mnist_root / "MNIST" / "raw").glob("*.gz"):
        content = file.read_bytes()
        name = file.name if packed else file.stem
        (raw / name).write_bytes(content if packed else gzip.decompress(content))
    first = SOURCES["mnist"](tmp_path, 28, 1).checksum

    @random_form(30)
    @given(file=st.sampled_from(sorted(raw.iterdir())), damage=DAMAGE)
    def attack(file: Path, damage: Damage) -> None:
        whole = file.read_bytes()
        file.write_bytes(damaged(whole, damage))
        tally("MNIST's own files, random damage", read_damaged("mnist", raw, first))
        file.write_bytes(whole)

    attack()


@pytest.mark.faults
def test_many_damaged_caches(tmp_path, tally):
    draw(tmp_path, a=6)
    how = Decoding(8, 1)
    first = read_images(list_images(tmp_path), tmp_path, how, in_memory=True)
    (path,) = (tmp_path / ".dae_cache").iterdir()

    @random_form(100)
    @given(damage=DAMAGE)
    def attack(damage: Damage) -> None:
        path.write_bytes(damaged(path.read_bytes(), damage))
        images, marks = read_images(list_images(tmp_path), tmp_path, how, in_memory=True)
        same = torch.equal(images[:], first[0][:]) and torch.equal(marks, first[1])
        assert same, "wrong without a word"
        tally("caches of decoded images, random damage", "built anew, or read the same")

    attack()
