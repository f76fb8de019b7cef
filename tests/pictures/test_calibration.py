from __future__ import annotations

import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from dae.pictures.calibration import draw_reliability, reliability
from helpers import ONE_PASS, events
from outcome import Train


def test_by_hand():
    confidence = torch.tensor([0.95, 0.95, 0.85, 0.85])
    found = reliability(confidence, torch.tensor([True, False, True, True]), bins=10)
    assert found.count.tolist() == [0] * 8 + [2, 2]
    assert found.confidence[8:].tolist() == pytest.approx([0.85, 0.95])
    assert found.accuracy[8:].tolist() == [1.0, 0.5]
    assert found.error == pytest.approx(0.5 * 0.15 + 0.5 * 0.45)
    draw_reliability(found, "images")


def test_the_ends_have_their_bins():
    found = reliability(torch.tensor([0.0, 1.0]), torch.tensor([False, True]), bins=5)
    assert found.count.tolist() == [1, 0, 0, 0, 1]
    assert found.error == 0


def test_as_torchmetrics_has_it():
    logits, labels = torch.randn(500, 10), torch.randint(10, (500,))
    probabilities = logits.softmax(1)
    confidence, predicted = probabilities.max(1)
    ours = reliability(confidence, predicted == labels, 15).error
    theirs = multiclass_calibration_error(probabilities, labels, 10, n_bins=15, norm="l1")
    assert ours == pytest.approx(float(theirs), abs=1e-5)


def test_in_tensorboard_and_as_a_file(train: Train):
    quick = (
        "stage=classifier",
        "classifier=mlp",
        "data=digits",
        "data.limit=64",
        *ONE_PASS,
        "classifier.epochs=1",
    )
    folder = train(*quick, "callbacks=calibration").folder / "classifier"
    assert (folder / "calibration.png").is_file()
    found = events(folder)
    for tag in ("classifier/val/ece", "result/classifier/test/ece"):
        (point,) = found.Scalars(tag)
        assert (point.step, 0 < point.value < 1) == (1, True)
    assert found.Images("pictures/result/classifier/calibration")
