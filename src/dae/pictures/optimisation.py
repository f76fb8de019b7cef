"""Gradient norms, update-to-weight ratios and histograms of the weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from pydantic import PositiveInt
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.tensorboard import SummaryWriter

from dae.pictures.publishing import epochs_done, images_seen, tensorboard_writers
from dae.pictures.watcher import Watcher


class Optimisation(Watcher):
    """Gradient norm and update-to-weight ratio of each layer, histograms of weights and gradients.

    Norms (before clipping) and ratios of one step in ``trainer.log_every_n_steps``: only then is the device
    waited for. A ratio of about 1e-3 is usual; far less is standing still, far more is unrest. Histograms are
    of an epoch's last step.

    Args:
        histograms_every_n_epochs: Epochs between two sets of histograms.
    """

    def __init__(self, histograms_every_n_epochs: PositiveInt = 1) -> None:
        self.histograms_every_n_epochs = histograms_every_n_epochs
        self.before: dict[str, Tensor] = {}
        self.gradients: dict[str, Tensor] = {}

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Keep a copy of the weights that the step will change."""
        if (trainer.global_step + 1) % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        trained = dict(trained_parameters(pl_module))
        self.before = {name: parameter.detach().clone() for name, parameter in trained.items()}
        self.gradients = parameter_norms({name: p.grad for name, p in trained.items() if p.grad is not None})

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log a point if the step was looked at, and the histograms with the last step of an epoch."""
        if self.before:
            self.log_point(trainer, pl_module, images_seen(trainer, batch_idx))
            self.before = {}
        # Lightning forgets the gradients before it validates.
        last = batch_idx + 1 == trainer.num_training_batches
        if last and epochs_done(trainer) % self.histograms_every_n_epochs == 0:
            for writer in tensorboard_writers(trainer):
                log_histograms(writer, pl_module, epochs_done(trainer))

    def log_point(self, trainer: Trainer, module: LightningModule, images: int) -> None:
        """Log norms and ratios against the images seen."""
        after = dict(trained_parameters(module))
        updates = parameter_norms(
            {name: after[name].detach() - before for name, before in self.before.items()}
        )
        weights = parameter_norms(self.before)
        ratios = {layer: norm / weights[layer].clamp(min=1e-12) for layer, norm in updates.items()}
        prefix = f"{module.stage}/train"
        named = {f"{prefix}/gradient_norm/{layer}": norm for layer, norm in self.gradients.items()}
        named |= {f"{prefix}/update_ratio/{layer}": ratio for layer, ratio in ratios.items()}
        # One list, so that the device is waited for once.
        values = torch.stack([*named.values()]).tolist()
        for logger in trainer.loggers:
            logger.log_metrics(dict(zip(named, values, strict=True)), step=images)


def log_histograms(writer: SummaryWriter, module: LightningModule, epoch: int) -> None:
    """Log histograms of the trained weights and of their gradients."""
    for name, parameter in trained_parameters(module):
        for kind, values in (("weights", parameter.detach()), ("gradients", parameter.grad)):
            # Torch's bins end at 1e20, and there is none for what is no number.
            shown = values[values.abs() < 1e20] if values is not None else ()
            if len(shown):
                tag = f"{kind}/{module.stage}/{name}"
                writer.add_histogram(tag, shown, epoch)


def trained_parameters(module: LightningModule) -> Iterable[tuple[str, torch.nn.Parameter]]:
    """Names and values of the parameters that are trained."""
    return ((name, p) for name, p in module.named_parameters() if p.requires_grad)


def parameter_norms(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Euclidean norm of all tensors of a layer together, by its name: ``encoder.blocks.0.conv``."""
    squares: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        layer = name.rpartition(".")[0]
        squares[layer] = squares.get(layer, tensor.new_zeros(())) + tensor.float().square().sum()
    return {layer: square.sqrt() for layer, square in squares.items()}
