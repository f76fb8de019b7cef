from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from dae.callbacks import pictures
from dae.callbacks.pictures import draw
from helpers import Train

QUICK = ("stage=dae", "data=digits", "data.limit=64", "callbacks=pictures", "logger=none")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    """The rows of every picture that is drawn."""
    seen: list[dict[str, torch.Tensor]] = []

    def spy(rows: dict[str, torch.Tensor]) -> torch.Tensor:
        seen.append({name: images.clone() for name, images in rows.items()})
        return draw(rows)

    monkeypatch.setattr(pictures, "draw", spy)
    return seen


def test_the_same_images_and_noise_in_every_epoch_and_every_run(train: Train, drawn):
    train(*QUICK, "dae.epochs=2", place="a")
    train(*QUICK, "dae.epochs=1", "seed=7", "dae/noise=gaussian", "data.batch_size=32", place="b")
    assert len(drawn) == 3
    first, *others = drawn
    assert first["clean"].shape == (10, 1, 28, 28)
    assert 0.1 < (first["noisy"][first["clean"] > 0] == 0).float().mean() < 0.3
    for other in others:
        assert torch.equal(other["clean"], first["clean"])
        assert torch.equal(other["noisy"], first["noisy"])
        assert not torch.equal(other["reconstruction"], first["reconstruction"])


def test_another_split_seed_shows_other_images(train: Train, drawn):
    train(*QUICK, "dae.epochs=1", place="a")
    train(*QUICK, "dae.epochs=1", "data.split_seed=1", place="b")
    assert not torch.equal(drawn[0]["clean"], drawn[1]["clean"])
    one, other = (rows["noisy"] == 0 for rows in drawn)
    inked = (drawn[0]["clean"] > 0) & (drawn[1]["clean"] > 0)
    assert not torch.equal(one[inked], other[inked]), "the noise is another, too"


def test_seldom_if_wished_but_the_last_epoch_always(train: Train, drawn):
    train(*QUICK, "dae.epochs=5", "callbacks.pictures.every_n_epochs=3", "callbacks.pictures.count=4")
    assert len(drawn) == 2
    assert drawn[0]["clean"].shape[0] == 4


def test_the_picture_shows_its_rows(train: Train):
    folder = train(*QUICK, "dae.epochs=1").folder
    picture = np.asarray(Image.open(folder / "dae" / "reconstructions.png"))
    assert picture.shape[2] == 3
    rows = {name: torch.full((3, 1, 8, 8), level) for name, level in (("black", 0.0), ("white", 1.0))}
    drawn = draw(rows)
    middle = drawn.shape[2] * 3 // 4
    assert drawn[:, drawn.shape[1] // 4, middle].tolist() == [0, 0, 0]
    assert drawn[:, drawn.shape[1] * 3 // 4, middle].tolist() == [255, 255, 255]


def test_colour():
    red = torch.zeros(2, 3, 8, 8)
    red[:, 0] = 1
    picture = draw({"red": red})
    assert picture[:, picture.shape[1] // 2, picture.shape[2] * 3 // 4].tolist() == [255, 0, 0]
