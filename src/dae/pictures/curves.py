"""What happens within an epoch: loss, learning rate, gradient norm; speed and weights of each."""

from __future__ import annotations

import time
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from dae.pictures.drawing import Watcher, epochs_done, images_seen, tensorboard_writers


class Curves(Watcher):
    """Loss, learning rate and gradient norm every ``trainer.log_every_n_steps`` steps, over the images seen.

    The norm is that of all gradients together, before clipping. After each epoch also how many images a
    second were trained on, and histograms of the weights. Only then, and at those steps, a GPU is waited for.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note where the fit begins: a resumed one has some steps behind it."""
        self.step = trainer.global_step
        self.norm: Tensor | None = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of the epoch."""
        self.started, self.images = time.perf_counter(), 0

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Measure the gradients of a step that will be logged."""
        if (trainer.global_step + 1) % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
            self.norm = torch.nn.utils.get_total_norm(gradients)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log a point, seldom enough not to wait for the device at each step."""
        self.images += len(batch[1]) * trainer.world_size
        self.ended = time.perf_counter()
        # Where gradients are accumulated, not every batch ends a step.
        stepped, self.step = trainer.global_step > self.step, trainer.global_step
        if not stepped or self.norm is None:
            return
        point = {
            # Lightning divides the loss by the batches of a step.
            "step_loss": float(outputs["loss"]) * trainer.accumulate_grad_batches,
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "gradient_norm": float(self.norm),
        }
        self.norm = None
        self.log_all(trainer, pl_module, point, images_seen(trainer, batch_idx))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the speed and the weights."""
        speed = {"images_per_second": self.images / (self.ended - self.started)}
        self.log_all(trainer, pl_module, speed, epochs_done(trainer))
        for writer in tensorboard_writers(trainer):
            for name, weights in pl_module.named_parameters():
                # Torch's bins end at 1e20, and there is none for what is no number.
                if weights.requires_grad and len(shown := weights[weights.abs() < 1e20]):
                    writer.add_histogram(f"weights/{pl_module.stage}/{name}", shown, epochs_done(trainer))

    def log_all(self, trainer: Trainer, module: LightningModule, values: dict[str, float], x: int) -> None:
        """Log to all loggers."""
        for logger in trainer.loggers:
            logger.log_metrics({f"{module.stage}/train/{name}": v for name, v in values.items()}, step=x)
