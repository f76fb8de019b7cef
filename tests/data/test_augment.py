from __future__ import annotations

import pytest
import torch

from dae.data.images import shift_at_random
from dae.runs.checkpoint import read
from helpers import ONE_PASS, QUIET
from outcome import Train


def test_each_image_is_moved_by_its_own_shift_and_zeros_come_in():
    images = torch.randint(1, 256, (300, 3, 8, 6), dtype=torch.uint8)
    moved = shift_at_random(images, 2)
    assert moved.shape == images.shape
    assert moved.dtype == torch.uint8
    shifts = set()
    for before, after in zip(images, moved, strict=True):
        (found,) = (
            (down, right)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if torch.equal(after, by_hand(before, down, right))
        )
        shifts.add(found)
    assert len(shifts) == 25


def by_hand(image: torch.Tensor, down: int, right: int) -> torch.Tensor:
    _, height, width = image.shape
    framed = torch.nn.functional.pad(image, (2, 2, 2, 2))
    return framed[:, 2 - down : 2 - down + height, 2 - right : 2 - right + width]


QUICK = (
    "data=digits",
    *QUIET,
    "data.limit=64",
    *ONE_PASS,
    "dae.epochs=1",
    "trainer.precision=32-true",
)


@pytest.mark.parametrize("stage", ["dae", "classifier"])
def test_training_images_move_and_those_that_are_measured_do_not(train: Train, monkeypatch, stage):
    seen: list[int] = []

    def count(images: torch.Tensor, most: int, ground: int) -> torch.Tensor:
        assert (most, ground) == (2, 0)
        seen.append(len(images))
        return shift_at_random(images, most, ground)

    monkeypatch.setattr("dae.data.images.shift_at_random", count)
    quick = (*QUICK, f"stage={stage}", "classifier=random", "classifier.epochs=2", "dae.epochs=2")
    still, moved, again = (
        train(*quick, f"data.augment={most}", place=f"{number}") for number, most in enumerate((0, 2, 2))
    )
    assert still.exit_code == moved.exit_code == 0
    assert sum(seen) == 2 * 2 * 64, "two runs of two epochs"
    one, other, same = (read(done.folder / stage / "best.ckpt").tensors for done in (still, moved, again))
    assert any(not torch.equal(one[name], other[name]) for name in one)
    assert all(torch.equal(same[name], other[name]) for name in same)
