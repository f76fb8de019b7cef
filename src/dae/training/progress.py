"""What the console shows of a fit: a line an epoch, and on a terminal a bar."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import RichProgressBar

from dae.runs.console import shows_progress
from dae.training.checkpointing import StageCheckpoint

log = logging.getLogger(__name__)


class EpochLines(Callback):
    """One line an epoch: training loss, the validation metrics if there are new ones, the time it took.

    Args:
        left_out: Metrics that it does not name.
    """

    def __init__(self, left_out: Collection[str] = ()) -> None:
        self.left_out = left_out
        self.pending = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the line of the epoch before: only now has its module logged everything."""
        self._write(trainer, pl_module)
        self.pending, self.validated = True, False
        self.started = time.perf_counter()

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember that there are new validation metrics."""
        self.validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock of the epoch."""
        self.epoch = trainer.current_epoch + 1
        self.seconds = time.perf_counter() - self.started

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last line."""
        self._write(trainer, pl_module)

    def _write(self, trainer: Trainer, module: LightningModule) -> None:
        if not self.pending:
            return
        self.pending = False
        prefixes = [f"{module.stage}/train/", *([f"{module.stage}/val/"] if self.validated else [])]
        texts = []
        for prefix in prefixes:
            metrics = {
                name.removeprefix(prefix): value
                for name, value in trainer.callback_metrics.items()
                if name.startswith(prefix) and name not in self.left_out
            }
            values = " ".join(f"{name} {float(value):.4f}" for name, value in metrics.items())
            texts.append(f"{prefix.split('/')[1]}: {values}")
        epoch = f"{self.epoch}/{trainer.max_epochs}"
        log.info("%s epoch %-5s  %s  (%.1f s)", module.stage, epoch, "  ".join(texts), self.seconds)


class StageBar(RichProgressBar):
    """Stage and epoch, how fast it goes and what is left of the epoch, the monitor now and at its best."""

    @property
    def state_key(self) -> str:
        """As of the other callbacks, so that a run may go on with a bar or without."""
        return type(self).__name__

    def _get_train_description(self, current_epoch: int) -> str:
        stage = self.trainer.lightning_module.stage
        return f"{stage} {current_epoch + 1}/{self.trainer.max_epochs}"

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """The value that decides, of the last validation, and the best one so far."""
        (checkpoint,) = (c for c in trainer.checkpoint_callbacks if isinstance(c, StageCheckpoint))
        now = trainer.callback_metrics.get(checkpoint.monitor or "")
        if now is None:
            return {}
        shown: dict[str, Any] = {str(checkpoint.monitor): f"{float(now):.4f}"}
        if checkpoint.best_model_score is not None:
            shown["best"] = f"{float(checkpoint.best_model_score):.4f}"
        return shown


def progress_callbacks(left_out: Collection[str] = ()) -> list[Callback]:
    """The line an epoch, without some metrics, and on a terminal the progress bar too."""
    lines: list[Callback] = [EpochLines(left_out)]
    # Every step would cost 2 ms on a terminal.
    return [*lines, StageBar(refresh_rate=20)] if shows_progress() else lines
