"""How images may lie in a folder: with classes or without, divided or not, and further ones elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dae.data import decoding
from dae.data.image_folder import ImageFolderDataModule, image_folder
from dae.data.image_set import UNLABELLED, ImageSet
from dae.data.listing import list_images, look_at, split_folders
from dae.errors import UserError
from helpers import draw_images
from outcome import Train


def read(root: Path, **more: Any) -> ImageSet:
    return image_folder(root, 16, 3, **more)


def module(root: Path, **changes: Any) -> ImageFolderDataModule:
    arguments: dict[str, Any] = {"batch_size": 8, "validation": 0.25, "split_seed": 0}
    arguments |= {"source": image_folder, "root": root, "image_size": 16, "channels": 3}
    data = ImageFolderDataModule(**{**arguments, **changes})
    data.setup()
    return data


def draw_classes(root: Path, *splits: str, count: int = 6) -> Path:
    """Two classes in each split, no two images alike."""
    for number, split in enumerate(splits):
        for level, name in enumerate("ab"):
            place = root / split / name
            place.mkdir(parents=True, exist_ok=True)
            for index in range(count):
                pixels = np.random.default_rng([number, level, index]).integers(0, 255, (8, 8, 3), np.uint8)
                Image.fromarray(pixels).save(place / f"{index:02}.png")
    return root


def counts(images: ImageSet) -> tuple[int, int]:
    return len(images.train.labels), len(images.test.labels)


@pytest.mark.parametrize("place", [".", "train"])
def test_a_folder_without_classes(tmp_path, place):
    draw_images(tmp_path / place, 20)
    data = module(tmp_path, labels=5, limit=10)
    assert data.classes == ()
    assert [len(split.labels) for split in (data.train, data.val, data.test)] == [10, 4, 4]
    assert set(data.train.labels.tolist()) == {UNLABELLED}
    assert "no classes: 10 to train on" in str(data)
    other = module(tmp_path, split_seed=1)
    assert torch.equal(data.test.images, other.test.images), "a fixed fifth"
    assert not torch.equal(data.val.images, other.val.images)


def test_the_order_is_image_folders(tmp_path):
    draw_classes(tmp_path, "train", count=12)
    draw_images(tmp_path / "train" / "b" / "below", 3)
    (tmp_path / "train" / "b" / "notes.txt").write_text("no image")
    (tmp_path / "train" / "a" / ".hidden.png").write_bytes(b"")
    (tmp_path / "train" / ".git").mkdir()
    listing = list_images(tmp_path / "train")
    assert listing.classes == ("a", "b")
    assert listing.labels == [0] * 12 + [1] * 15
    assert listing.files[0] == "a/00.png"


@pytest.mark.parametrize(
    ("splits", "own"),
    [
        (("train", "test"), False),
        (("Training", "Valid", "Test"), True),
        (("TRAIN", "validation", "testing"), True),
        (("train-images", "val-images", "Test Images"), True),
    ],
)
def test_splits_of_any_case_and_their_other_words(tmp_path, splits, own):
    draw_classes(tmp_path, *splits)
    images = read(tmp_path, own_validation=own)
    assert counts(images) == (12, 12)
    assert (images.val is not None) == own
    if own:
        assert f"{tmp_path / splits[1]} is not used: data.validation=val" in read(tmp_path).warnings[0]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("train",), "found train/ alone; expected train/ and test/"),
        (("val", "test"), "found test/ and val/ alone"),
        (("train", "Train", "test"), "two of Train/ and test/ and train/ mean the same split"),
        (("seg_train", "seg_test"), r"seg_test/ and seg_train/ seem to divide the images.*Rename them"),
        (("1-train", "2-val", "cat"), "1-train/ and 2-val/ seem to divide the images"),
    ],
)
def test_folders_that_divide_the_images_in_no_clear_way(tmp_path, names, words):
    draw_classes(tmp_path, *names)
    with pytest.raises(UserError, match=words):
        split_folders(tmp_path)


def test_errors_name_what_was_found(tmp_path):
    with pytest.raises(UserError, match=r"nowhere is not a folder.*<root>/train/<class>"):
        read(tmp_path / "nowhere")
    with pytest.raises(UserError, match="found no image"):
        read(tmp_path)
    draw_classes(tmp_path / "two", "train", "test")
    (tmp_path / "two" / "test" / "b").rename(tmp_path / "two" / "test" / "c")
    with pytest.raises(UserError, match="classes of train and test differ: b, c"):
        read(tmp_path / "two")
    draw_images(tmp_path / "empty" / "a", 5)
    (tmp_path / "empty" / "b").mkdir()
    with pytest.raises(UserError, match="for the classes b"):
        read(tmp_path / "empty")


def test_bad_files_are_an_error_or_left_out_and_named(tmp_path):
    draw_classes(tmp_path, ".")
    (tmp_path / "a" / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(
        UserError, match=r"1 file in .* data.bad_images=skip .*(\n.*)*a/bad.png: it is no image"
    ):
        read(tmp_path)
    images = read(tmp_path, bad_images="skip")
    assert sum(counts(images)) == 12
    assert any("a/bad.png" in line and "left out" in line for line in images.warnings)
    for file in (tmp_path / "b").iterdir():
        file.write_bytes(b"")
    with pytest.raises(UserError, match="no image of b is left"):
        read(tmp_path, bad_images="skip")


def test_folders_beside_the_splits_are_named(tmp_path):
    draw_classes(tmp_path, "train", "test")
    draw_images(tmp_path / "more", 1)
    assert "not used, beside the folders that divide the images: more" in "\n".join(read(tmp_path).warnings)


def test_unlabelled_images_join_stage_1_alone(tmp_path):
    draw_classes(tmp_path / "data", ".")
    draw_images(tmp_path / "more" / "deep" / "er", 7)
    data = module(tmp_path / "data", unlabelled=tmp_path / "more")
    assert (len(data.train.labels), len(data.labelled().train.labels)) == (14, 7)
    assert "(7 of them without labels, for stage 1)" in str(data)
    with pytest.raises(UserError, match="share images: stage 1 would train on what it is tested on"):
        module(tmp_path / "data", unlabelled=tmp_path / "data" / "a")


def test_images_that_are_trained_and_tested_on(tmp_path):
    draw_classes(tmp_path, "train", "test")
    (tmp_path / "test" / "a" / "00.png").write_bytes((tmp_path / "train" / "b" / "03.png").read_bytes())
    assert "1 of 12 test images equal training images" in read(tmp_path).warnings[-1]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [([(8, 8)], 32), ([(50, 50)], 48), ([(500, 300)], 64), ([(30, 60), (41, 43), (99, 9)], 40)],
)
def test_the_median_side_as_a_multiple_of_4_from_32_to_64(tmp_path, sizes, expected):
    for number, size in enumerate(sizes):
        draw_images(tmp_path / str(number), 1, size)
    size, channels, words = look_at(list_images(tmp_path))
    assert (size, channels) == (expected, 3)
    assert "{} x {}".format(*sizes[0]) in words


@pytest.fixture
def kept(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(decoding, "SLOW", 0)
    return draw_classes(tmp_path, ".")


def cached(root: Path) -> list[Path]:
    return sorted((root / ".dae_cache").glob("*"))


def test_the_second_start_decodes_nothing(kept, monkeypatch):
    first = read(kept).checksum
    assert len(cached(kept)) == 1
    monkeypatch.setattr(decoding, "_decode", None)
    assert read(kept).checksum == first
    assert read(kept, bad_images="skip").checksum == first, "both ways share a cache"


def test_a_swapped_file_of_the_same_size_and_time_is_decoded_again(kept):
    read(kept)
    one, other = (kept / name / "00.bmp" for name in "ab")
    for path, level in ((one, 0), (other, 200)):
        Image.new("L", (8, 8), level).save(path)
        os.utime(path, (1e9, 1e9))
    before = read(kept)
    content = one.read_bytes(), other.read_bytes()
    for path, text in zip((other, one), content, strict=True):
        path.write_bytes(text)
        os.utime(path, (1e9, 1e9))
    after = read(kept)
    assert len(cached(kept)) == 1, "that of the folder as it was is gone"
    assert after.checksum != before.checksum


def test_one_class_is_no_question(train: Train, tmp_path):
    """A folder that was given one level too high: accuracy would be 1."""
    draw_classes(tmp_path / "W", "dataset")
    words = ("data=image_folder", "debug=smoke", "callbacks=none", "logger=none")
    refused = train(*words, f"data.root={tmp_path / 'W'}")
    assert refused.exit_code == 2
    assert "found one class, dataset; expected two or more" in refused.text
    assert f"its subfolders look like classes: try data.root={tmp_path / 'W' / 'dataset'}" in refused.text
    draw_images(tmp_path / "only" / "cat", 20)
    assert "found one class, cat" in train(*words, f"data.root={tmp_path / 'only'}").text
    draw_images(tmp_path / "none", 20)
    assert "try stage=dae" in train(*words, f"data.root={tmp_path / 'none'}").text
