"""How images may lie in a folder: with classes or without, divided or not, and further ones elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dae.data.folder import UNLABELLED, is_without_classes, list_images
from dae.data.image_set import ImageSet
from dae.data.images import ImageDataModule
from dae.data.sources import SOURCES
from dae.errors import UserError
from helpers import draw_images


def read(root: Path, **more: Any) -> ImageSet:
    return SOURCES["image_folder"](root, 16, 3, **more)


def module(root: Path, **changes: Any) -> ImageDataModule:
    arguments: dict[str, Any] = {
        "source": "image_folder",
        "root": root,
        "batch_size": 8,
        "validation": 0.25,
        "split_seed": 0,
        "image_size": 16,
        "channels": 3,
    }
    data = ImageDataModule(**{**arguments, **changes})
    data.setup()
    return data


def draw_classes(root: Path, **counts: int) -> Path:
    for name, count in counts.items():
        draw_images(root / name, count)
    return root


@pytest.mark.parametrize("place", [".", "train"])
def test_a_folder_without_classes(tmp_path, place):
    draw_images(tmp_path / place, 20)
    assert is_without_classes(tmp_path)
    data = module(tmp_path, labels=5, limit=10)
    assert data.classes == ()
    assert [len(split.labels) for split in (data.train, data.val, data.test)] == [10, 4, 4]
    assert {label for split in (data.train, data.val, data.test) for label in split.labels.tolist()} == {
        UNLABELLED
    }
    assert "no classes: 10 to train on" in str(data)
    assert data.absent() == {}
    other = module(tmp_path, split_seed=1)
    assert torch.equal(data.test.images[:], other.test.images[:]), "a fixed fifth"
    assert not torch.equal(data.val.images[:], other.val.images[:])


def test_without_classes_and_with_a_test_folder(tmp_path):
    draw_images(tmp_path / "train", 6)
    draw_images(tmp_path / "test", 3)
    images = read(tmp_path)
    assert (len(images.train.labels), len(images.test.labels)) == (6, 3)


def test_too_few_to_be_divided(tmp_path):
    with pytest.raises(UserError, match=r"too few in all \(4\)"):
        read(draw_images(tmp_path, 4))


def test_classes_win_over_loose_images(tmp_path):
    draw_classes(tmp_path, a=5, b=5)
    draw_images(tmp_path, 3)
    assert not is_without_classes(tmp_path)
    images = read(tmp_path)
    assert len(images.train.labels) + len(images.test.labels) == 10
    told = f"3 images in {tmp_path} itself: not used, since there are class folders"
    assert told in images.unused
    assert told in images.notes


def test_what_is_hidden_is_left_out(tmp_path):
    draw_images(tmp_path / "a", 5)
    before = list_images(tmp_path)
    for place in ("a/.thumbnails", "a/.deep/deeper", ".hidden"):
        draw_images(tmp_path / place, 2)
    (tmp_path / "a" / "000.png").rename(tmp_path / "a" / "._000.png")
    draw_images(tmp_path / "a", 1)
    assert list_images(tmp_path).files == before.files


def test_a_hidden_folder_above_hides_nothing(tmp_path):
    assert len(list_images(draw_classes(tmp_path / ".data" / "images", a=5)).files) == 5


@pytest.mark.parametrize("tested", [True, False])
def test_the_folders_own_validation_images(tmp_path, caplog, tested):
    draw_classes(tmp_path / "train", a=10, b=10)
    draw_classes(tmp_path / "val", a=2, b=1)
    if tested:
        draw_classes(tmp_path / "test", a=3, b=3)
    data = module(tmp_path, validation="val")
    assert torch.bincount(data.val.labels).tolist() == [2, 1]
    assert (len(data.train.labels), len(data.test.labels)) == ((20, 6) if tested else (16, 4))
    assert "is not used" not in caplog.text
    for _ in range(2):  # the second is given what the first has read
        caplog.clear()
        other = module(tmp_path, validation=0.25)
        told = (
            "is not used: data.validation=val would" if tested else "is the test set, since there is no test/"
        )
        assert f"{tmp_path / 'val'} {told}" in caplog.text
    assert len(other.val.labels) == 5
    assert len(other.test.labels) == (6 if tested else 3)
    assert other.checksum() != data.checksum()


def test_classes_of_the_validation_folder(tmp_path):
    draw_classes(tmp_path / "train", a=5, b=5)
    draw_classes(tmp_path / "val", a=5, c=5)
    differ = r"the classes in train/ and in val/ differ: b, c \(train/ lacks c; val/ lacks b\)"
    for own_validation in (True, False):
        with pytest.raises(UserError, match=differ):
            read(tmp_path, own_validation=own_validation)
    draw_classes(tmp_path / "test", a=5, b=5)
    assert read(tmp_path).classes == ("a", "b")


def test_unlabelled_images_join_stage_1_alone(tmp_path):
    labelled = draw_classes(tmp_path / "labelled", a=10, b=10)
    further = draw_images(tmp_path / "further" / "deep" / "down", 7, size=(40, 30), mode="L").parents[1]
    draw_images(further, 2)
    without = module(labelled, limit=8, labels=4)
    data = module(labelled, limit=8, labels=4, unlabelled=further)
    assert len(data.train.labels) == 8 + 9
    assert data.train.labels.tolist().count(UNLABELLED) == 9
    assert torch.equal(data.train.images[:8], without.train.images[:])
    for one, other in ((data.val, without.val), (data.test, without.test)):
        assert torch.equal(one.images[:], other.images[:])
    for labels in (4, None):
        view = module(labelled, limit=8, labels=labels, unlabelled=further).labelled()
        assert view.train.labels.min() >= 0
        assert len(view.train.labels) == (labels or 8)
    assert torch.equal(data.labelled().train.images[:], without.labelled().train.images[:])
    assert data.checksum() != without.checksum()
    assert "17 to train on (9 of them without labels, for stage 1), " in str(data)
    assert data.absent() == {}
    assert any(note.startswith("9 without labels, from ") for note in data.images.notes)  # type: ignore[union-attr]


def test_unlabelled_images_may_not_be_those_that_are_tested(tmp_path):
    root = tmp_path / "images"
    draw_classes(root / "train", a=5)
    draw_classes(root / "test", a=5)
    for place in (root, root / "test", root / "test" / "a"):
        with pytest.raises(UserError, match="share images: stage 1 would train on what it is tested on"):
            read(root, unlabelled=place)
    with pytest.raises(UserError, match=r"data\.unlabelled=.*nowhere is not a folder"):
        read(root, unlabelled=tmp_path / "nowhere")
    for place in (
        tmp_path / "further",
        root / "further",
    ):  # one that lies beside the splits may be named, too
        draw_images(place, 5)
        assert read(root, unlabelled=place).unlabelled is not None
    with pytest.raises(UserError, match=r"beside further, .*data\.unlabelled="):
        read(root)
