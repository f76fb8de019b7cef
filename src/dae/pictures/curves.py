"""The training curve within an epoch."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import LightningModule, Trainer

from dae.pictures.publishing import images_seen
from dae.pictures.watcher import Watcher


class Curves(Watcher):
    """Loss and learning rate every ``trainer.log_every_n_steps`` steps, against the images seen."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log a point, seldom enough not to wait for the device at each step."""
        if (batch_idx + 1) % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        stage = pl_module.stage
        point = {
            f"{stage}/train/step_loss": float(outputs["loss"]),
            f"{stage}/train/learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
        }
        for logger in trainer.loggers:
            logger.log_metrics(point, step=images_seen(trainer, batch_idx))
