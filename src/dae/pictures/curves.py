"""Training loss and learning rate within an epoch."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import LightningModule, Trainer

from dae.pictures.publishing import images_seen
from dae.pictures.watcher import Watcher


class Curves(Watcher):
    """Loss and learning rate every ``trainer.log_every_n_steps`` steps of the fit, over the images seen."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note where the fit begins: a resumed one has some steps behind it."""
        self.step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log a point, seldom enough not to wait for the device at each step."""
        # Where gradients are accumulated, not every batch ends a step.
        stepped, self.step = trainer.global_step > self.step, trainer.global_step
        if not stepped or self.step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        stage = pl_module.stage
        point = {
            # Lightning divides the loss by the batches of a step.
            f"{stage}/train/step_loss": float(outputs["loss"]) * trainer.accumulate_grad_batches,
            f"{stage}/train/learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
        }
        for logger in trainer.loggers:
            logger.log_metrics(point, step=images_seen(trainer, batch_idx))
