from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from dae.pictures import stage1
from dae.pictures.drawing import draw_image_rows
from dae.pictures.stage1 import draw_filters
from helpers import ONE_PASS, events
from outcome import Train

QUICK = ("stage=dae", "data=digits", "data.limit=64", *ONE_PASS, "callbacks=pictures")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    """The rows of every picture that is drawn."""
    seen: list[dict[str, torch.Tensor]] = []

    def spy(rows: dict[str, torch.Tensor], title: str = "") -> torch.Tensor:
        seen.append({name: images.clone() for name, images in rows.items()})
        return draw_image_rows(rows, title)

    monkeypatch.setattr(stage1, "draw_image_rows", spy)
    return seen


def test_the_same_images_and_noise_in_every_epoch_and_every_run(train: Train, drawn):
    train(*QUICK, "dae.epochs=2", place="a")
    train(*QUICK, "dae.epochs=1", "seed=7", "dae/noise=gaussian", "data.batch_size=32", place="b")
    assert len(drawn) == 5, "of each epoch, and of the checkpoint that counts"
    first, *others = drawn
    assert first["clean"].shape == (10, 1, 28, 28)
    assert 0.1 < (first["noisy"][first["clean"] > 0] == 0).float().mean() < 0.3
    for other in others:
        assert torch.equal(other["clean"], first["clean"])
        assert torch.equal(other["noisy"], first["noisy"])
        assert not torch.equal(other["reconstruction"], first["reconstruction"])
    assert list(first) == ["clean", "noisy", "reconstruction", "absolute error"]
    train(*QUICK, "dae.epochs=1", "data.split_seed=1", place="c")
    assert not torch.equal(drawn[-1]["clean"], first["clean"]), "another split"


def test_the_file_is_of_the_checkpoint_that_counts(train: Train, drawn):
    done = train(*QUICK, "dae.epochs=3", "dae.optimizer.lr=0.1", "logger=tensorboard")
    picture = np.asarray(Image.open(done.folder / "dae" / "reconstructions.png"))
    (best,) = events(done.folder / "dae").Images("pictures/result/dae/reconstructions")
    assert (best.width, best.height) == (picture.shape[1], picture.shape[0])
    same = [torch.allclose(each["reconstruction"], drawn[-1]["reconstruction"]) for each in drawn[:-1]]
    assert same[best.step - 1]


def test_what_a_diverged_fit_has_come_to_is_shown(train: Train, drawn):
    done = train(*QUICK, "dae.epochs=3", "dae/optimizer=sgd", "dae.optimizer.lr=1e30")
    assert done.exit_code == 1
    assert not drawn[-1]["reconstruction"].isfinite().all()
    assert (done.folder / "dae" / "reconstructions.png").is_file()


def test_filters_of_any_number_of_channels():
    for channels in (1, 3, 5):
        assert draw_filters(torch.randn(20, channels, 3, 3)).shape[0] == 3
    assert draw_filters(torch.full((2, 1, 3, 3), float("nan"))).shape[0] == 3
