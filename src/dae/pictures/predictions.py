"""Gathers the predictions of a validation or of the test."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from pydantic import PositiveInt
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from dae.models.classifier import EncoderClassifier
from dae.pictures.publishing import is_due
from dae.pictures.watcher import Watcher


class Predictions(Watcher):
    """Gathers the predictions of an evaluation and hands them to ``show``; nothing is computed a second time.

    Args:
        every_n_epochs: Epochs between two calls; the last epoch always has one, and so does the test.
    """

    def __init__(self, every_n_epochs: PositiveInt = 5) -> None:
        self.every_n_epochs = every_n_epochs
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
        """Pass all predictions to ``show``."""
        if self.logits:
            probabilities = torch.cat(self.logits).softmax(1).cpu()
            self.show(trainer, pl_module, probabilities, torch.cat(self.labels).cpu())
            self.logits, self.labels = [], []

    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end
    on_test_epoch_end = on_validation_epoch_end

    @abstractmethod
    def show(self, trainer: Trainer, module: LightningModule, probabilities: Tensor, labels: Tensor) -> None:
        """Draw or log.

        Args:
            trainer: Of the stage.
            module: The classifier.
            probabilities: (N, classes), of the first N images of the split, in their order.
            labels: (N,).
        """
