from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dae.data.image_set import Split
from dae.models.classifier import EncoderClassifier
from dae.pictures import mistakes
from dae.pictures.figures import draw_image_rows
from dae.pictures.mistakes import Mistakes, most_confident
from helpers import ONE_PASS
from outcome import Train

QUICK = (
    "data=digits",
    "data.limit=64",
    *ONE_PASS,
    "dae.epochs=1",
    "classifier.epochs=1",
    "callbacks=mistakes",
)


def test_the_most_confident_first_and_only_mistakes():
    confidence = torch.tensor([0.9, 0.5, 0.99, 0.7, 0.6])
    wrong = torch.tensor([False, True, True, True, False])
    assert most_confident(confidence, wrong, 2).tolist() == [2, 3]
    assert most_confident(confidence, wrong, 9).tolist() == [2, 3, 1]
    assert most_confident(confidence, wrong & False, 9).tolist() == []


def test_pictures_are_of_the_images_that_are_named(train: Train, monkeypatch: pytest.MonkeyPatch):
    """Stage 2's batches hold features; its pictures show images."""
    drawn: list[Any] = []
    modules: list[Any] = []

    def spy(rows, captions, title):
        drawn.append((rows, captions, title))
        return draw_image_rows(rows, captions, title)

    show = Mistakes.show

    def remember(self, trainer, module, probabilities, labels):
        modules[:] = [module]
        show(self, trainer, module, probabilities, labels)

    monkeypatch.setattr(mistakes, "draw_image_rows", spy)
    monkeypatch.setattr(Mistakes, "show", remember)
    folder = train(*QUICK, "callbacks.mistakes.count=10", "trainer.precision=32-true").folder
    assert (folder / "classifier" / "mistakes.png").is_file()
    (rows, captions, title) = drawn[-1]
    assert list(rows) == ["1-8", "9-10"]
    assert "mistakes in 360 test images (checkpoint that counts)" in title
    (module,) = modules
    assert isinstance(module, EncoderClassifier)
    with torch.inference_mode():
        probabilities = module(rows["1-8"]).softmax(1)
    for row, caption in zip(probabilities, captions["1-8"], strict=True):
        true, taken, sure = caption.split("\n")
        assert (taken, sure) == (f"as {int(row.argmax())}", f"{float(row.max()):.0%}")
        assert int(true) != int(row.argmax())
    assert rows["9-10"][2:].min() == 1, "blank"


def test_without_mistakes(tmp_path):
    split = Split(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]))
    data = SimpleNamespace(classes=("a", "b"), val=split)
    trainer = SimpleNamespace(
        datamodule=data,
        state=SimpleNamespace(fn="fit"),
        num_val_batches=[1],
        current_epoch=0,
        loggers=[],
        default_root_dir=tmp_path,
    )
    sure = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    Mistakes().show(trainer, SimpleNamespace(stage="classifier"), sure, torch.tensor([0, 1]))  # type: ignore[arg-type]
    assert (tmp_path / "mistakes.png").is_file()
