from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dae.data import sources
from dae.data.image_set import ImageSet, Split
from dae.data.images import ImageDataModule
from dae.errors import ConfigError, UserError


def digits(**changes: Any) -> ImageDataModule:
    arguments: dict[str, Any] = {
        "source": sources.digits,
        "root": Path("nowhere"),
        "batch_size": 16,
        "validation": 0.1,
        "split_seed": 0,
        "image_size": 28,
        "channels": 1,
    }
    data = ImageDataModule(**{**arguments, **changes})
    data.setup()
    return data


def rows(split: Split) -> set[bytes]:
    return {image.numpy().tobytes() for image in split.images[:]}


def test_splits_are_disjoint_and_the_test_set_is_untouched():
    one, other = digits(split_seed=0), digits(split_seed=1, validation=200)
    assert one.images is not None
    assert rows(one.train) | rows(one.val) == rows(one.images.train)
    assert len(one.train.labels) + len(one.val.labels) == len(one.images.train.labels) == 1437
    assert not rows(one.train) & rows(one.val)
    assert not rows(one.test) & (rows(one.train) | rows(one.val))
    assert torch.equal(one.test.images[:], other.test.images[:])
    assert rows(one.val) != rows(other.val)


def test_validation_takes_of_each_class_its_share():
    data = digits(validation=0.1)
    held_out, left = (torch.bincount(split.labels) for split in (data.val, data.train))
    assert held_out.sum() == 144
    exact = (held_out + left) * 144 / 1437
    assert (held_out - exact).abs().max() < 1
    uneven = Split(
        torch.zeros(300, 1, 28, 28, dtype=torch.uint8), torch.tensor([0] * 180 + [1] * 90 + [2] * 30)
    )
    train, val = digits(validation=0.1)._split(ImageSet(uneven, uneven, ("a", "b", "c")))
    assert torch.bincount(val.labels).tolist() == [18, 9, 3]
    assert torch.bincount(train.labels).tolist() == [162, 81, 27]


def test_a_source_may_have_validation_images_of_its_own():
    images = digits().images
    assert images is not None
    own = digits(validation="test", limit=50)
    own.validation = "val"
    train, val = own._split(replace(images, val=images.test.chosen(torch.arange(30))))
    assert len(val.labels) == 30
    assert len(train.labels) == 50
    with pytest.raises(ConfigError, match="found val, but digits has no validation images of its own"):
        digits(validation="val")


def test_limit_and_labels():
    data = digits(limit=500, labels=40)
    assert len(data.train.labels) == 500
    view = data.labelled()
    assert torch.bincount(view.train.labels).tolist() == [4] * 10
    assert rows(view.train) <= rows(data.train)
    assert len(data.train.labels) == 500, "stage 1 still sees all images"
    assert torch.equal(view.val.images[:], data.val.images[:])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"validation": 1437}, "data.validation: 1437 images held out of 1437, expected 1 to 1427"),
        ({"validation": 1e-4}, "data.validation: 0 images held out"),
        ({"limit": 1400}, "data.limit: found 1400, but 1293 training images are left after validation"),
        ({"labels": 1300}, r"data\.labels: found 1300, but 1293"),
        ({"labels": 9}, r"data\.labels: found 9, which leaves no label of some classes"),
        ({"labels": "2/class", "limit": 8}, r"data\.labels: found 2/class, which leaves no label of some"),
    ],
)
def test_what_does_not_fit_the_number_of_images(changes, words):
    with pytest.raises(ConfigError, match=words):
        digits(**changes)


def test_at_most_so_many_labels_of_each_class(caplog):
    caplog.set_level("INFO")
    counts = torch.bincount(digits(labels="10/class").labelled().train.labels)
    assert counts.tolist() == [10] * 10
    assert "fewer" not in caplog.text
    counts = torch.bincount(digits(labels="130/class").labelled().train.labels)
    assert counts.max() == 130
    assert counts.min() < 130
    fewer = ", ".join(f"{label} ({count})" for label, count in enumerate(counts.tolist()) if count < 130)
    assert f"data.labels=130/class: there are fewer of class {fewer}" in caplog.text


def test_labels_are_drawn_by_their_own_seed_and_nothing_else_is():
    few, other, more = (
        digits(labels=labels, labels_seed=seed) for labels, seed in ((40, 0), (40, 1), ("10/class", 0))
    )
    assert rows(few.labelled().train) != rows(other.labelled().train)
    assert rows(few.labelled().train) < rows(more.labelled().train), "a larger number contains the smaller"
    for name in ("train", "val", "test"):
        assert torch.equal(getattr(few, name).images[:], getattr(other, name).images[:])


@pytest.mark.parametrize(
    ("images", "labels", "told"),
    [
        (torch.zeros(4, 1, 8, 8), torch.zeros(4).long(), "expected uint8"),
        (torch.zeros(4, 1, 8, 8).byte(), torch.zeros(4), "int64"),
        (torch.zeros(4, 1, 8, 8).byte(), torch.zeros(3).long(), "(3,)"),
        (torch.zeros(4, 1, 9, 9).byte(), torch.zeros(4).long(), "images of (1, 9, 9), expected (1, 8, 8)"),
    ],
)
def test_a_source_of_the_users_own_is_held_to_what_was_asked(images, labels, told, tmp_path):
    def mine(root: Path, image_size: int, channels: int) -> Any:
        split = Split(images, labels)
        return ImageSet(split, split, ("a", "b"))

    data = ImageDataModule(mine, tmp_path, 2, 2, 0, image_size=8, channels=1)
    with pytest.raises((UserError, ValueError)) as error:
        data.setup()
    assert told in str(error.value)
