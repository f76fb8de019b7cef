"""The confusion matrix of a classifier."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from pydantic import PositiveInt
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from dae.pictures.figures import figure_pixels
from dae.pictures.predictions import Predictions
from dae.pictures.publishing import (
    class_names,
    epochs_done,
    evaluated_split,
    images_and_epoch,
    publish,
    result_tag,
)
from dae.pictures.style import BLUE, ORANGE, new_figure, style_axes

log = logging.getLogger(__name__)

# Beyond that numbers in the fields could not be read.
NUMBERED = 20


class Confusion(Predictions):
    """Confusion matrix and accuracy of each class, as ``confusion.png`` and as scalars.

    A class without images is named: its accuracy is not 0, there is none.

    Args:
        every_n_epochs: Epochs between two pictures; the last epoch always has one, and so does the test.
    """

    def __init__(self, every_n_epochs: PositiveInt = 5) -> None:
        super().__init__(every_n_epochs)
        self.told: set[str] = set()

    def show(self, trainer: Trainer, module: LightningModule, probabilities: Tensor, labels: Tensor) -> None:
        """Draw and log."""
        classes = class_names(trainer)
        matrix = confusion_matrix(probabilities.argmax(1), labels, len(classes))
        split = evaluated_split(trainer)[0]
        values, absent = {}, []
        for name, accuracy in zip(classes, class_accuracy(matrix).tolist(), strict=True):
            if accuracy == accuracy:
                values[result_tag(trainer, module, f"{split_key(split)}/class_accuracy/{name}")] = accuracy
            else:
                absent.append(name)
        if absent and split not in self.told:
            self.told.add(split)
            log.warning("classifier: no %s image is of class %s", split, ", ".join(absent))
        for logger in trainer.loggers:
            logger.log_metrics(values, step=epochs_done(trainer))
        publish(trainer, module, "confusion", draw_confusion(matrix, classes, images_and_epoch(trainer)))


def split_key(words: str) -> str:
    """The name of the split as metrics spell it."""
    return "val" if words == "validation" else words


def confusion_matrix(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Images of each class (rows) by what they are taken for (columns)."""
    return torch.bincount(labels * classes + predicted, minlength=classes**2).view(classes, classes)


def class_accuracy(matrix: Tensor) -> Tensor:
    """Share of each class that is recognized; NaN of a class without images."""
    return matrix.diagonal() / matrix.sum(1)


def draw_confusion(matrix: Tensor, classes: Sequence[str], title: str) -> Tensor:
    """The matrix, its rows shaded as shares, and the classes' accuracies."""
    figure = new_figure(12, 5.8)
    fields, bars = figure.subplots(1, 2, width_ratios=(1.25, 1))
    accuracy = float(matrix.diagonal().sum() / matrix.sum())
    shares = (matrix / matrix.sum(1, keepdim=True)).nan_to_num()
    own = class_accuracy(matrix)
    ticks = range(len(classes))
    named_rows = [
        f"{name} (absent)" if value != value else name for name, value in zip(classes, own, strict=True)
    ]

    style_axes(fields, f"{int(matrix.sum()):,} {title}: accuracy {accuracy:.2%}", "taken for", "class")
    fields.grid(False)
    fields.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= NUMBERED:
        fields.set_xticks(ticks, classes, rotation=45 if max(map(len, classes)) > 3 else 0)
        fields.set_yticks(ticks, named_rows)
        for row, column in matrix.nonzero().tolist():
            colour = "white" if shares[row, column] > 0.5 else "#333333"
            count = int(matrix[row, column])
            fields.text(column, row, f"{count}", ha="center", va="center", fontsize=9, color=colour)

    style_axes(bars, "accuracy of each class")
    bars.barh(ticks, own.nan_to_num(), color=BLUE, height=0.7)
    if len(classes) <= NUMBERED:
        bars.set_yticks(ticks, classes)
        for place, value in enumerate(own.tolist()):
            absent = value != value
            text, colour = (
                ("absent", ORANGE) if absent else (f"{value:.1%}", "white" if value > 0.2 else "#333333")
            )
            bars.text(0.01, place, text, va="center", fontsize=9, color=colour)
    bars.set_xlim(0, 1)
    bars.invert_yaxis()
    return figure_pixels(figure)
