from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dae.data.images import Batches, ImageDataModule, class_balanced
from dae.data.sources import Split
from dae.errors import ConfigError


def digits(**changes: Any) -> ImageDataModule:
    arguments: dict[str, Any] = {
        "source": "digits",
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


def test_validation_takes_the_same_from_each_class():
    assert torch.bincount(digits(validation=200).val.labels).tolist() == [20] * 10
    assert len(digits(validation=0.1).val.labels) == 144


def test_the_notebooks_way_validates_on_the_test_set():
    data = digits(validation="test")
    assert torch.equal(data.val.images[:], data.test.images[:])
    assert len(data.train.labels) == 1437


def test_limit_and_labels():
    data = digits(limit=500, labels=40)
    assert len(data.train.labels) == 500
    view = data.labelled()
    assert torch.bincount(view.train.labels).tolist() == [4] * 10
    assert rows(view.train) <= rows(data.train)
    assert len(data.train.labels) == 500, "stage 1 still sees all images"
    assert torch.equal(view.val.images[:], data.val.images[:])


def test_a_larger_subset_contains_the_smaller_one():
    labels = torch.arange(1000) % 7
    small, large = (set(class_balanced(labels, count, seed=3).tolist()) for count in (50, 300))
    assert small < large
    assert small != set(class_balanced(labels, 50, seed=4).tolist())


def test_rare_classes_give_what_they_have():
    labels = torch.tensor([0] * 100 + [1] * 3)
    chosen = class_balanced(labels, 20, seed=0)
    assert torch.bincount(labels[chosen]).tolist() == [17, 3]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"validation": 1437}, "data.validation: 1437 images held out of 1437, expected 10 to 1427"),
        ({"validation": 5}, "data.validation: 5 images held out"),
        ({"limit": 1400}, "data.limit: found 1400, but 1293 training images are left after validation"),
    ],
)
def test_what_does_not_fit_the_number_of_images(changes, words):
    with pytest.raises(ConfigError, match=words):
        digits(**changes)


def test_too_many_labels():
    with pytest.raises(ConfigError, match=r"data\.labels: found 1300, but 1293"):
        digits(labels=1300).labelled()


def test_batches_draw_each_image_once_in_a_new_order():
    split = Split(torch.arange(50, dtype=torch.uint8).reshape(50, 1, 1, 1), torch.arange(50))
    batches = Batches(split, batch_size=16, shuffle=True)
    assert len(batches) == 4
    first = [labels for _, labels in batches]
    assert [len(labels) for labels in first] == [16, 16, 16, 2]
    assert sorted(torch.cat(first).tolist()) == list(range(50))
    assert torch.cat(first).tolist() != torch.cat([labels for _, labels in batches]).tolist()
    for images, labels in batches:
        assert torch.equal(images.flatten().long(), labels)
    in_order = Batches(split, batch_size=16, shuffle=False)
    assert torch.cat([labels for _, labels in in_order]).tolist() == list(range(50))


def test_bytes_become_floats_after_the_transfer():
    data = digits()
    images, labels = next(iter(data.train_dataloader()))
    assert images.dtype == torch.uint8
    floats, same = data.on_after_batch_transfer((images, labels), 0)
    assert floats.dtype == torch.float32
    assert torch.equal((floats * 255).round().to(torch.uint8), images)
    assert 0 <= floats.min() < floats.max() <= 1
    assert same is labels
