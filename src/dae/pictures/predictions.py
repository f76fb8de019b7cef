"""Pictures of stage 2: confusion, calibration, the surest mistakes, precision and recall."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import PositiveInt
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from dae.data.image_set import bytes_to_floats
from dae.models.classifier import EncoderClassifier
from dae.pictures.drawing import (
    Watcher,
    class_names,
    epochs_done,
    evaluated_split,
    figure_pixels,
    images_and_epoch,
    is_due,
    publish,
    result_tag,
    tensorboard_writers,
)
from dae.pictures.style import new_figure, style_axes
from dae.text import pluralize

BINS = 15  # of confidence
# Beyond that numbers in the fields of a confusion matrix could not be read.
NUMBERED = 20


class Predictions(Watcher):
    """Gathers the predictions of an evaluation, and draws confusion matrix, calibration and mistakes of them.

    TensorBoard also has the accuracy of each class, the expected calibration error (ECE; Guo et al. 2017) and
    the precision-recall curve of each class against all others. A class without images has none of these.

    Args:
        mistakes: How many mistakes are shown, at most.
        every_n_epochs: Epochs between two sets of pictures; the last epoch always has one, and the test.
    """

    def __init__(self, mistakes: PositiveInt = 16, every_n_epochs: PositiveInt = 5) -> None:
        self.mistakes, self.every_n_epochs = mistakes, every_n_epochs
        self.logits: list[Tensor] = []
        self.labels: list[Tensor] = []

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Drop the predictions of the last evaluation."""
        self.logits, self.labels = [], []

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Keep the predictions of the batch on their device."""
        if isinstance(pl_module, EncoderClassifier) and is_due(trainer, self.every_n_epochs):
            self.logits.append(outputs)
            self.labels.append(batch[1])

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw and log."""
        if not self.logits or not (logits := torch.cat(self.logits).cpu()).isfinite().all():
            return
        probabilities, labels = logits.softmax(1), torch.cat(self.labels).cpu()
        names, title = class_names(trainer), images_and_epoch(trainer)
        split, images = evaluated_split(trainer)
        confidence, predicted = probabilities.max(1)
        error = multiclass_calibration_error(probabilities, labels, len(names), BINS)
        scalars = {f"{split}/ece": float(error)}
        for label in labels.unique().tolist():
            own = predicted[labels == label] == label
            scalars[f"{split}/class_accuracy/{names[label]}"] = float(own.float().mean())
            for writer in tensorboard_writers(trainer):
                tag = result_tag(trainer, pl_module, f"precision_recall/{names[label]}")
                writer.add_pr_curve(tag, labels == label, probabilities[:, label], epochs_done(trainer))
        for logger in trainer.loggers:
            named = {result_tag(trainer, pl_module, name): value for name, value in scalars.items()}
            logger.log_metrics(named, step=epochs_done(trainer))
        publish(trainer, pl_module, "confusion", draw_confusion(labels, predicted, names, title))
        right = predicted == labels
        publish(trainer, pl_module, "calibration", draw_calibration(right, confidence, float(error), title))
        wrong = (~right).nonzero().squeeze(1)
        surest = wrong[confidence[wrong].argsort(descending=True, stable=True)[: self.mistakes]]
        told = [f"{names[labels[i]]} as {names[predicted[i]]}\n{confidence[i]:.0%}" for i in surest]
        head = f"{pluralize(len(wrong), 'mistake')} in {len(labels):,} {title}; those that it is surest of:"
        publish(
            trainer, pl_module, "mistakes", draw_mistakes(bytes_to_floats(images.images[surest]), told, head)
        )

    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end
    on_test_epoch_end = on_validation_epoch_end


def draw_confusion(labels: Tensor, predicted: Tensor, names: list[str], title: str) -> Tensor:
    """Images of each class (rows) by what they are taken for (columns), shaded as shares of the row."""
    from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

    matrix = confusion_matrix(labels, predicted, labels=range(len(names)))
    shares = matrix / matrix.sum(1, keepdims=True).clip(1)
    figure = new_figure(7.5, 6.5)
    axes = figure.subplots()
    few = len(names) <= NUMBERED
    display = ConfusionMatrixDisplay(shares, display_labels=names if few else None)
    display.plot(ax=axes, include_values=False, cmap="Blues", xticks_rotation=45, colorbar=False)
    style_axes(axes, f"{len(labels):,} {title}: accuracy {float((labels == predicted).float().mean()):.2%}")
    axes.set_xlabel("taken for")
    axes.set_ylabel("class")
    axes.grid(False)
    for row, column in zip(*matrix.nonzero(), strict=True) if few else ():
        colour = "white" if shares[row, column] > 0.5 else "#333333"
        axes.text(column, row, str(matrix[row, column]), ha="center", va="center", fontsize=9, color=colour)
    return figure_pixels(figure)


def draw_calibration(right: Tensor, confidence: Tensor, error: float, title: str) -> Tensor:
    """Accuracy against confidence."""
    from sklearn.calibration import CalibrationDisplay

    figure = new_figure(6, 5)
    axes = figure.subplots()
    CalibrationDisplay.from_predictions(right, confidence, n_bins=BINS, ax=axes, name="classifier")
    style_axes(axes, f"{len(right):,} {title}: ECE {error:.4f}", "confidence", "accuracy")
    return figure_pixels(figure)


def draw_mistakes(images: Tensor, told: list[str], title: str) -> Tensor:
    """Images (N, C, H, W), each under its words."""
    rows = max(1, -(-len(told) // 8))
    figure = new_figure(10, 1.8 * rows + 0.4)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    for number, axes in enumerate(figure.subplots(rows, 8, squeeze=False).flat):
        axes.set_axis_off()
        if number < len(told):
            axes.imshow(
                images[number].movedim(0, -1).numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest"
            )
            axes.set_title(told[number], fontsize=9, parse_math=False)
    return figure_pixels(figure)
