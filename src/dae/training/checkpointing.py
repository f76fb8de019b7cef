"""Writes ``best.ckpt`` and ``last.ckpt``."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any, Literal

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from dae.metrics import Metric

log = logging.getLogger(__name__)


class StageCheckpoint(ModelCheckpoint):
    """The best validation by ``monitor``, or the last epoch without it; each file holds its own metrics.

    With ``trainer.val_check_interval`` the best may lie within an epoch. ``last.ckpt`` is always written at
    the end of one, and what is resumed from it meets the same validations again. The decision to stop early
    belongs to it, whoever has made it: a fit that goes on from there stays stopped.

    Args:
        folder: Of the stage.
        monitor: The metric that decides; None when nothing is chosen.
        seconds: What the stage has taken in an earlier process.

    Attributes:
        stopped: Whether the fit has been stopped before its last epoch, by a search (``pruned``) or not.
    """

    def __init__(self, folder: Path, monitor: Metric | None, seconds: float = 0.0) -> None:
        super().__init__(
            dirpath=folder,
            filename="best",
            monitor=monitor.name if monitor else None,
            mode=monitor.mode if monitor else "min",
            save_top_k=1,
            enable_version_counter=False,
            save_on_train_epoch_end=monitor is None,
        )
        self.best, self.last = folder / "best.ckpt", folder / "last.ckpt"
        self.validated_step = -1
        self.started = time.perf_counter() - seconds
        self.stopped: Literal["", "stopped", "pruned"] = ""

    @property
    def state_key(self) -> str:
        """The name of its state in a checkpoint; Lightning's own is put together anew at each hook."""
        return type(self).__name__

    def on_train_batch_end(self, *_: Any) -> None:
        """Nothing is saved but after a validation and at the end of an epoch."""

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take over whether the fit had been stopped."""
        self.stopped = checkpoint.get("stopped", "")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do not train on what was stopped."""
        if self.stopped:
            trainer.should_stop = True
            why = "the search had pruned it" if self.stopped == "pruned" else "it had been stopped early"
            log.info("%s is not trained further: %s", pl_module.stage, why)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the epoch after which the checkpoint was written, where nothing more is to be trained.

        Lightning does so itself where all epochs are behind it.
        """
        progress: Any = trainer.fit_loop.epoch_progress.current
        if self.stopped:
            progress.completed = progress.processed

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember which weights the present metrics are of; write them if they are the best."""
        self.validated_step = trainer.global_step
        super().on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last: Lightning's ``save_last`` (2.6) waits for a best."""
        super().on_train_epoch_end(trainer, pl_module)
        trainer.save_checkpoint(self.last)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what these weights have reached, if it was measured, and in which epoch."""
        running = trainer.training or trainer.validating
        fresh = running and self.validated_step == trainer.global_step
        metrics = trainer.callback_metrics.items() if fresh else ()
        checkpoint["metrics"] = {name: float(value) for name, value in metrics if "/val/" in name}
        checkpoint["seconds"] = time.perf_counter() - self.started
        if running and trainer.should_stop:
            self.stopped = self.stopped or "stopped"
        checkpoint["stopped"] = self.stopped
        checkpoint["epochs"] = trainer.current_epoch + (1 if running else 0)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best score over, also from a run folder that has been moved since."""

        def here(path: str) -> str:
            # Whatever the file says: Lightning deletes the best of before at this place.
            return str(self.best) if path else path

        moved = {name: here(state_dict[name]) for name in state_dict if name.endswith("_model_path")}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": best, "dirpath": self.dirpath})
