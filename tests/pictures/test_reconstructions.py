from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from dae.launch import Terminated
from dae.models.autoencoder import DenoisingAutoencoder
from dae.pictures import reconstructions
from dae.pictures.figures import draw_image_rows
from helpers import ONE_PASS, events
from outcome import Train

QUICK = (
    "stage=dae",
    "data=digits",
    "data.limit=64",
    *ONE_PASS,
    "callbacks=pictures",
    "logger=none",
)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    """The rows of every picture that is drawn."""
    seen: list[dict[str, torch.Tensor]] = []

    def spy(rows: dict[str, torch.Tensor], title: str = "") -> torch.Tensor:
        seen.append({name: images.clone() for name, images in rows.items()})
        return draw_image_rows(rows, title=title)

    monkeypatch.setattr(reconstructions, "draw_image_rows", spy)
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
    assert list(first) == ["clean", "noisy", "reconstruction", "absolute error"]
    assert torch.equal(first["absolute error"], (first["clean"] - first["reconstruction"]).abs())
    # Another split has other images and another noise.
    train(*QUICK, "dae.epochs=1", "data.split_seed=1", place="c")
    assert not torch.equal(drawn[-1]["clean"], first["clean"])
    one, other_noise = (rows["noisy"] == 0 for rows in (first, drawn[-1]))
    inked = (first["clean"] > 0) & (drawn[-1]["clean"] > 0)
    assert not torch.equal(one[inked], other_noise[inked])


def test_and_after_an_interruption(train: Train, drawn, monkeypatch: pytest.MonkeyPatch):
    step, steps = DenoisingAutoencoder.training_step, iter(range(100))

    def stopped(self, batch, index):
        if next(steps) == 6:  # in the second epoch
            raise Terminated(143)
        return step(self, batch, index)

    monkeypatch.setattr(DenoisingAutoencoder, "training_step", stopped)
    folder = train(*QUICK, "dae.epochs=2").folder
    assert len(drawn) == 1
    train(f"resume={folder}")
    assert len(drawn) == 2
    for name in ("clean", "noisy"):
        assert torch.equal(drawn[0][name], drawn[1][name])


def test_seldom_if_wished_but_the_last_epoch_always(train: Train, drawn):
    train(*QUICK, "dae.epochs=5", "callbacks.pictures.every_n_epochs=3", "callbacks.pictures.count=4")
    assert len(drawn) == 2
    assert drawn[0]["clean"].shape[0] == 4


def test_the_last_picture_is_a_file(train: Train):
    folder = train(*QUICK, "dae.epochs=2", "logger=tensorboard").folder / "dae"
    picture = np.asarray(Image.open(folder / "reconstructions.png"))
    *_, last = events(folder).Images("pictures/dae/reconstructions")
    assert (last.step, last.width, last.height) == (2, picture.shape[1], picture.shape[0])


def test_what_a_diverged_fit_has_come_to_is_shown(train: Train, drawn):
    done = train(*QUICK, "dae.epochs=3", "dae/optimizer=sgd", "dae.optimizer.lr=1e30")
    assert done.exit_code == 1
    assert not drawn[-1]["reconstruction"].isfinite().all()
    assert (done.folder / "dae" / "reconstructions.png").is_file()
