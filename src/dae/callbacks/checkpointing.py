"""Writes ``best.ckpt`` and ``last.ckpt``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint


class StageCheckpoint(ModelCheckpoint):
    """The best epoch by ``monitor``, or the last one without it; each file holds its own metrics.

    Args:
        folder: Of the stage.
        monitor: The metric that decides; None when nothing is chosen.
        mode: ``min`` or ``max``.
    """

    def __init__(self, folder: Path, monitor: str | None, mode: str) -> None:
        super().__init__(
            dirpath=folder,
            filename="best",
            monitor=monitor,
            mode=mode,
            save_top_k=1,
            save_last=True,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what these weights have reached, and after how many epochs."""
        metrics = trainer.callback_metrics.items()
        checkpoint["metrics"] = {name: float(value) for name, value in metrics if "/val/" in name}
        checkpoint["epochs"] = trainer.current_epoch + (1 if trainer.training else 0)
