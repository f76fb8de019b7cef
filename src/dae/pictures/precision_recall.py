"""Precision-recall curves of each class."""

from __future__ import annotations

from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from dae.pictures.predictions import Predictions
from dae.pictures.publishing import class_names, epochs_done, result_tag, tensorboard_writers


class PrecisionRecall(Predictions):
    """PR curves in TensorBoard, each class against all others; none of a class without images.

    Args:
        every_n_epochs: Epochs between two curves; the last epoch always has one, and so does the test.
    """

    def show(self, trainer: Trainer, module: LightningModule, probabilities: Tensor, labels: Tensor) -> None:
        """Log the curves."""
        classes = class_names(trainer)
        probabilities = probabilities.nan_to_num(0.0)
        for writer in tensorboard_writers(trainer):
            for label in labels.unique().tolist():
                tag = result_tag(trainer, module, f"precision_recall/{classes[label]}")
                writer.add_pr_curve(tag, labels == label, probabilities[:, label], epochs_done(trainer))
