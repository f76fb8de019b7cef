from __future__ import annotations

import pytest
import torch

from dae.pictures.optimisation import parameter_norms
from helpers import ONE_PASS, events
from outcome import Train

QUICK = (
    "data=digits",
    "data.limit=160",
    *ONE_PASS,
    "dae.epochs=2",
    "trainer.log_every_n_steps=5",
    "callbacks=optimisation",
)
LAYERS = [f"encoder.blocks.{n}.conv" for n in range(3)] + [f"decoder.convs.{n}" for n in range(4)]


def test_norms_are_of_whole_layers():
    tensors = {
        "a.b.weight": torch.tensor([[3.0]]),
        "a.b.bias": torch.tensor([4.0]),
        "c.weight": torch.ones(4),
    }
    assert {name: float(norm) for name, norm in parameter_norms(tensors).items()} == {"a.b": 5.0, "c": 2.0}


def values(found, tag: str) -> list[float]:
    return [event.value for event in found.Scalars(tag)]


def test_the_ratio_is_that_of_the_step_taken(train: Train):
    """Of plain gradient descent: lr |g| / |w|."""
    plain = (
        "stage=dae",
        "dae/optimizer=sgd",
        "dae.optimizer.momentum=0",
        "dae.optimizer.nesterov=false",
        "dae.optimizer.lr=0.01",
    )
    found = events(train(*QUICK, *plain, "trainer.precision=32-true").folder / "dae")
    for layer in LAYERS:
        gradients = values(found, f"dae/train/gradient_norm/{layer}")
        ratios = values(found, f"dae/train/update_ratio/{layer}")
        assert len(gradients) == len(ratios) == 4
        assert [point.step for point in found.Scalars(f"dae/train/update_ratio/{layer}")] == [
            80,
            160,
            240,
            320,
        ]
        weights = [0.01 * g / r for g, r in zip(gradients, ratios, strict=True)]
        histograms = [found.Histograms(f"weights/dae/{layer}.{kind}") for kind in ("weight", "bias")]
        assert [event.step for event in histograms[0]] == [1, 2]
        squares = sum(events[-1].histogram_value.sum_squares for events in histograms)
        assert weights[-1] == pytest.approx(squares**0.5, rel=0.02)  # one is before the step, one after it


def test_norms_are_those_before_clipping(train: Train):
    clipped = ("stage=dae", "dae.epochs=1", "trainer.gradient_clip_val=1e-6")
    found = events(train(*QUICK, *clipped).folder / "dae")
    assert min(values(found, f"dae/train/gradient_norm/{LAYERS[0]}")) > 1e-5


def test_what_is_frozen_has_none(train: Train):
    found = events(train(*QUICK, "dae.epochs=1", "classifier.epochs=1").folder / "classifier")
    tags = found.Tags()
    layers = {tag.rpartition("/")[2] for tag in tags["scalars"] if "/gradient_norm/" in tag}
    assert layers == {"encoder.blocks.2.conv", "head.1", "head.3"}
    assert {tag for tag in tags["histograms"] if tag.endswith("head.3.bias")} == {
        "weights/classifier/head.3.bias",
        "gradients/classifier/head.3.bias",
    }
