from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dae.launch import Terminated
from dae.models.autoencoder import DenoisingAutoencoder
from dae.runs.checkpoint import read
from helpers import ONE_PASS, events
from outcome import Train

# An epoch has 7 steps of 16 images, the last one of 4.
QUICK = (
    "stage=dae",
    "data=digits",
    "data.limit=100",
    *ONE_PASS,
    "callbacks=curves",
    "trainer.precision=32-true",
)


def points(folder: Path, name: str) -> dict[int, float]:
    """By the images seen; a resumed run has some twice."""
    return {event.step: event.value for event in events(folder / "dae").Scalars(f"dae/train/{name}")}


def test_steps_are_those_of_the_fit(train: Train):
    """Also where an epoch has fewer, and where a run was interrupted and has gone on."""
    several = ("dae.epochs=3", "trainer.log_every_n_steps=8")
    whole = train(*QUICK, *several, place="whole").folder
    training_step, steps = DenoisingAutoencoder.training_step, iter(range(100))

    def stop(self: Any, *batch: Any) -> Any:
        if next(steps) == 17:  # the fourth of the third epoch
            raise Terminated(143)
        return training_step(self, *batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DenoisingAutoencoder, "training_step", stop)
        broken = train(*QUICK, *several, place="broken")
    assert broken.exit_code == 143
    assert train(f"resume={broken.folder}", place="elsewhere").exit_code == 0
    for name in ("step_loss", "learning_rate"):
        assert list(points(whole, name)) == [100 + 16, 2 * 100 + 2 * 16]
        assert points(broken.folder, name) == points(whole, name)


def test_the_gradient_norm_is_that_of_the_step_taken(train: Train):
    """Of plain gradient descent: a step is lr times the gradient."""
    plain = (
        "dae/optimizer=sgd",
        "dae.optimizer.momentum=0",
        "dae.optimizer.nesterov=false",
        "dae.optimizer.lr=0.01",
    )
    found = []
    for epochs in (0, 1):
        one = ("data.batch_size=100", "trainer.log_every_n_steps=1", f"dae.epochs={epochs}")
        folder = train(*QUICK, *plain, *one, place=str(epochs)).folder
        found.append(read(folder / "dae" / "best.ckpt").tensors)
    moved = sum(float((found[0][name] - found[1][name]).square().sum()) for name in found[0]) ** 0.5
    (norm,) = points(folder, "gradient_norm").values()
    assert 0.01 * norm == pytest.approx(moved, rel=1e-3)


def test_speed_and_histograms_of_each_epoch(train: Train):
    found = events(train(*QUICK, "dae.epochs=2").folder / "dae")
    assert [event.step for event in found.Scalars("dae/train/images_per_second")] == [1, 2]
    assert all(event.value > 0 for event in found.Scalars("dae/train/images_per_second"))
    weights = found.Histograms("weights/dae/encoder.blocks.0.conv.weight")
    assert [event.step for event in weights] == [1, 2]
