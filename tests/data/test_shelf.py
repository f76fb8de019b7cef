from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from PIL import Image

from dae.data import shelf
from dae.data.features import FeatureDataModule
from dae.data.image_set import ImageSet, Split
from dae.data.images import ImageDataModule
from dae.data.sources import SOURCES
from dae.runs.checkpoint import read
from outcome import Outcome, Train

QUICK = (
    "data=digits",
    "debug=smoke",
    "data.limit=100",
    "callbacks=none",
    "logger=none",
    "classifier.hidden=8",
)


def test_the_least_recently_used_goes_when_there_is_no_room(monkeypatch):
    monkeypatch.setattr(shelf, "MOST_BYTES", 10)
    made: list[str] = []

    def get(key: str, size: int) -> str:
        def make() -> str:
            made.append(key)
            return key

        return shelf.shelved(key, make, lambda _: size)

    shelf.clear()
    for key in ("a", "b", "a", "c", "a", "b"):
        assert get(key, 4) == key
    assert made == ["a", "b", "c", "b"]
    assert [get("large", 11), get("large", 11)] == ["large", "large"]
    assert made[4:] == ["large", "large"]
    shelf.clear()


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was read and computed instead of taken from the shelf."""
    done: list[str] = []
    compute, digits = FeatureDataModule._compute, SOURCES["digits"]

    def computed(self: FeatureDataModule, split: Split) -> Split:
        done.append("features")
        return compute(self, split)

    def opened(*asked: Any) -> ImageSet:
        done.append("images")
        return digits(*asked)

    monkeypatch.setattr(FeatureDataModule, "_compute", computed)
    monkeypatch.setitem(SOURCES, "digits", opened)
    return done


def accuracies(done: Outcome) -> list[float]:
    assert done.exit_code == 0
    results = [json.loads((job / "result.json").read_text()) for job in done.folders]
    return [result["metrics"]["classifier/test/loss"] for result in results]


def test_jobs_take_from_the_shelf_what_is_the_very_same(train: Train, computed: list[str], monkeypatch):
    sweep = ("-m", *QUICK, "data.labels=40,60", "seed=0,1")
    first = train(*sweep, place="first")
    # Training features of each job; those to validate and to test on of each encoder and split alone.
    assert computed.count("images") == 1
    assert computed.count("features") == 4 + 2 * 2
    assert not shelf._items, "given back at the end"
    monkeypatch.setattr(shelf, "MOST_BYTES", 0)
    again = train(*sweep, place="again")
    assert computed.count("images") == 1 + 4
    assert accuracies(first) == accuracies(again)
    for job, other in zip(first.folders, again.folders, strict=True):
        ours, theirs = (read(place / "classifier" / "best.ckpt").tensors for place in (job, other))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_images_that_have_changed_are_read_again(tmp_path):
    shelf.clear()
    for index in range(20):
        file = tmp_path / "ab"[index % 2] / f"{index}.png"
        file.parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8), 10 * index).save(file)

    def first_pixels() -> torch.Tensor:
        data = ImageDataModule("image_folder", tmp_path, 4, 0.2, 0, 8, 1)
        data.setup()
        assert data.images is not None
        pixels: torch.Tensor = torch.cat([data.images.train.images[:], data.images.test.images[:]])[
            :, 0, 0, 0
        ]
        return pixels.sort().values

    before = first_pixels()
    assert first_pixels() is not before
    assert torch.equal(first_pixels(), before)
    Image.new("L", (8, 8), 255).save(tmp_path / "a" / "0.png")
    assert not torch.equal(first_pixels(), before)
    shelf.clear()
