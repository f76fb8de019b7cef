"""Precision against recall of each class."""

from __future__ import annotations

from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from dae.callbacks.predictions import Predictions
from dae.callbacks.showing import class_names, epochs_done, named, writers


class PrecisionRecall(Predictions):
    """PR curves in TensorBoard, each class against all others; none of a class without images.

    Args:
        every_n_epochs: Epochs between two curves; the last epoch always has one, and so does the test.
    """

    def show(self, trainer: Trainer, module: LightningModule, probabilities: Tensor, labels: Tensor) -> None:
        """Log."""
        classes = class_names(trainer)
        probabilities = probabilities.nan_to_num(0.0)
        for writer in writers(trainer):
            for label in labels.unique().tolist():
                tag = named(trainer, module, f"precision_recall/{classes[label]}")
                writer.add_pr_curve(tag, labels == label, probabilities[:, label], epochs_done(trainer))
