"""Ends a fit whose loss is no longer a number."""

from __future__ import annotations

import math
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from dae.errors import UserError

USUAL_RATE = 1e-3  # torch's own, of all its optimizers


class StopOnDivergence(Callback):
    """Checks the loss of every step; on a GPU, which it would have to wait for, of every logged step."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Check the loss.

        Raises:
            UserError: The loss is infinite or not a number.
        """
        loss, every = outputs["loss"], trainer.log_every_n_steps  # type: ignore[attr-defined]
        last = batch_idx + 1 == trainer.num_training_batches
        if loss.device.type != "cpu" and (batch_idx + 1) % every and not last:
            return
        if not math.isfinite(loss):
            raise _diverged(trainer, pl_module, float(loss), "loss")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check what the last step has led to, which no loss of a step shows.

        Raises:
            UserError: The validation loss is infinite or not a number.
        """
        value = float(trainer.callback_metrics.get(f"{pl_module.stage}/val/loss", 0.0))
        if trainer.optimizers and not math.isfinite(value):
            raise _diverged(trainer, pl_module, value, "validation loss")


def _diverged(trainer: Trainer, module: LightningModule, value: float, what: str) -> UserError:
    stage, group = module.stage, trainer.optimizers[0].param_groups[0]
    rate = group["lr"]
    # A schedule keeps the rate that was asked for.
    asked = group.get("max_lr", group.get("initial_lr", rate))
    # A tenth of an absurd rate is one, too.
    advice = f"try {stage}.optimizer.lr={min(asked / 10, USUAL_RATE):g}"
    if not trainer.gradient_clip_val:
        advice += ", or trainer.gradient_clip_val=1.0"
    return UserError(
        f"{stage} diverged: its {what} is {value} at step {trainer.global_step} (epoch "
        f"{trainer.current_epoch + 1}), with a learning rate of {rate:g}\n      {advice}"
    )
