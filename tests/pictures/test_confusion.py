from __future__ import annotations

import math

import pytest
import torch

from dae.data.images import ImageDataModule
from dae.pictures import confusion
from dae.pictures.confusion import class_accuracy, confusion_matrix, draw_confusion
from helpers import ONE_PASS, events
from outcome import Train

QUICK = (
    "stage=classifier",
    "classifier=mlp",
    "data=digits",
    "data.limit=300",
    *ONE_PASS,
    "classifier.epochs=2",
)


@pytest.fixture
def without_3(monkeypatch: pytest.MonkeyPatch) -> None:
    """No validation image shows a 3."""
    setup = ImageDataModule.setup

    def less(self: ImageDataModule, stage: str | None = None) -> None:
        setup(self, stage)
        self.val = self.val.chosen((self.val.labels != 3).nonzero().squeeze(1))

    monkeypatch.setattr(ImageDataModule, "setup", less)


def test_a_matrix_by_hand():
    labels, predicted = torch.tensor([0, 0, 0, 1, 1, 3]), torch.tensor([0, 0, 1, 1, 1, 3])
    matrix = confusion_matrix(predicted, labels, 4)
    assert matrix.tolist() == [[2, 1, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    first, second, absent, last = class_accuracy(matrix).tolist()
    assert (first, second, last) == (pytest.approx(2 / 3), 1.0, 1.0)
    assert math.isnan(absent)


def test_many_classes_are_drawn_without_numbers():
    few = draw_confusion(torch.eye(20).long(), [str(n) for n in range(20)], "images")
    many = draw_confusion(torch.eye(200).long(), [str(n) for n in range(200)], "images")
    assert few.shape == many.shape


def test_scalars_and_pictures_equal_the_accuracy(train: Train, monkeypatch: pytest.MonkeyPatch):
    seen: list[torch.Tensor] = []

    def spy(matrix, classes, title):
        seen.append(matrix)
        return draw_confusion(matrix, classes, title)

    monkeypatch.setattr(confusion, "draw_confusion", spy)
    done = train(*QUICK, "callbacks=confusion", "callbacks.confusion.every_n_epochs=1")
    assert (done.folder / "classifier" / "confusion.png").is_file()
    found = events(done.folder / "classifier")
    *validated, tested = seen
    by_epoch = [event.value for event in found.Scalars("classifier/val/accuracy")]
    assert [float(m.diagonal().sum() / m.sum()) for m in validated] == pytest.approx(by_epoch)
    assert tested.sum() == 360
    assert float(tested.diagonal().sum() / 360) == pytest.approx(
        done.result["metrics"]["classifier/test/accuracy"]
    )
    for label in range(10):
        (value,) = found.Scalars(f"result/classifier/test/class_accuracy/{label}")
        assert value.value == pytest.approx(float(tested[label, label] / tested[label].sum()))
        assert [e.step for e in found.Scalars(f"classifier/val/class_accuracy/{label}")] == [1, 2]


@pytest.mark.usefixtures("without_3")
def test_a_class_without_images_is_told_once(train: Train):
    done = train(*QUICK, "callbacks=[confusion,calibration,mistakes,precision_recall]")
    assert done.exit_code == 0, done.text
    assert done.out.count("classifier: no validation image is of class 3") == 1
    tags = events(done.folder / "classifier").Tags()
    assert "classifier/val/class_accuracy/2" in tags["scalars"]
    assert "classifier/val/class_accuracy/3" not in tags["scalars"]
    assert "result/classifier/test/class_accuracy/3" in tags["scalars"]
    assert "classifier/precision_recall/3" not in tags["tensors"]
    assert "result/classifier/precision_recall/3" in tags["tensors"]
