from __future__ import annotations

from typing import Any

import pytest
import torch

from dae.pictures import predictions
from dae.pictures.predictions import draw_confusion, draw_mistakes
from dae.runs.checkpoint import load_classifier
from helpers import ONE_PASS, events
from outcome import Train

MLP = (
    "stage=classifier",
    "classifier=mlp",
    "data=digits",
    "data.limit=300",
    *ONE_PASS,
    "classifier.epochs=2",
)
QUICK = (*MLP, "callbacks=predictions", "callbacks.predictions.every_n_epochs=1")


def test_scalars_and_pictures_are_those_of_the_predictions(train: Train, monkeypatch: pytest.MonkeyPatch):
    seen: list[tuple[Any, ...]] = []

    def spy(labels, predicted, names, title):
        seen.append((labels, predicted, title))
        return draw_confusion(labels, predicted, names, title)

    monkeypatch.setattr(predictions, "draw_confusion", spy)
    done = train(*QUICK)
    folder = done.folder / "classifier"
    assert {file.stem for file in folder.glob("*.png")} == {"confusion", "calibration", "mistakes"}
    found = events(folder)
    *validated, (labels, predicted, title) = seen
    by_epoch = [event.value for event in found.Scalars("classifier/val/accuracy")]
    assert [float((a == b).float().mean()) for a, b, _ in validated] == pytest.approx(by_epoch)
    assert title == "test images (checkpoint that counts)"
    accuracy = done.result["metrics"]["classifier/test/accuracy"]
    assert float((labels == predicted).float().mean()) == pytest.approx(accuracy)
    for label in range(10):
        (value,) = found.Scalars(f"result/classifier/test/class_accuracy/{label}")
        own = predicted[labels == label] == label
        assert value.value == pytest.approx(float(own.float().mean()))
        assert [e.step for e in found.Scalars(f"classifier/val/class_accuracy/{label}")] == [1, 2]
    (error,) = found.Scalars("result/classifier/test/ece")
    assert 0 < error.value < 1


def test_mistakes_are_of_the_images_that_are_named(train: Train, monkeypatch: pytest.MonkeyPatch):
    """Stage 2's batches hold features; its pictures show images."""
    drawn: list[tuple[torch.Tensor, list[str], str]] = []

    def spy(images, told, title):
        drawn.append((images, told, title))
        return draw_mistakes(images, told, title)

    monkeypatch.setattr(predictions, "draw_mistakes", spy)
    stages = ("data=digits", "data.limit=64", *ONE_PASS, "dae.epochs=1", "classifier.epochs=1")
    folder = train(*stages, "callbacks=predictions", "callbacks.predictions.mistakes=10").folder
    images, told, title = drawn[-1]
    assert "mistakes in 360 test images (checkpoint that counts)" in title
    encoder, head, _ = load_classifier(folder)
    with torch.no_grad():
        probabilities = head.eval()(encoder.eval()(images)).softmax(1)
    assert [text.split(" as ")[1] for text in told] == [
        f"{int(p.argmax())}\n{p.max():.0%}" for p in probabilities
    ]
    sure = [float(p.max()) for p in probabilities]
    assert sure == sorted(sure, reverse=True)
    assert len(told) == 10
