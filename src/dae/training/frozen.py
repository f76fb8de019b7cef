"""Checks that a fit leaves frozen tensors as they were."""

from __future__ import annotations

import logging

from pytorch_lightning import Callback, LightningModule, Trainer

from dae.models.classifier import EncoderClassifier
from dae.runs.checkpoint import content_hash

log = logging.getLogger(__name__)


class FrozenError(RuntimeError):
    """A fit changed what it was not to change: an error of the code, not of the user."""


class FrozenGuard(Callback):
    """Compares the content of the frozen tensors before and after the fit."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hash the frozen tensors before the first step."""
        self.before = self._hash(pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hash them again.

        Raises:
            FrozenError: The hash differs.
        """
        after = self._hash(pl_module)
        if after != self.before:
            raise FrozenError(
                f"frozen tensors changed during the fit: sha256 {self.before} before, {after} after"
            )
        if self.before:
            log.info("Frozen tensors: sha256 %.12s before and after the fit", after)

    @staticmethod
    def _hash(module: LightningModule) -> str:
        assert isinstance(module, EncoderClassifier)
        tensors = module.frozen_tensors()
        return content_hash(tensors) if tensors else ""
