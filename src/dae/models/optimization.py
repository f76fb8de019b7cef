"""Optimizer and learning rate of a module, and the schedules to choose from.

A schedule is a class of torch's, or a function of an optimizer and of the steps of the whole fit that has
None to offer if it leaves the rate alone; its other arguments come from ``conf/scheduler``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field
from pytorch_lightning import LightningModule
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from dae.models.description import Description, built_factory

OptimizerFactory = Callable[..., Optimizer]
ScheduleFactory = Callable[..., Any]


def constant(optimizer: Optimizer, total_steps: int) -> None:
    """Keep the optimizer's own learning rate from the first step to the last."""


def one_cycle(
    optimizer: Optimizer,
    total_steps: int,
    warmup: Annotated[float, Field(gt=0, lt=1)] = 0.3,
    start_factor: Annotated[float, Field(gt=0, le=1)] = 0.04,
) -> LRScheduler:
    """Up to the optimizer's learning rate, then down to nearly 0 (Smith & Topin 2018).

    Args:
        optimizer: Its learning rate is the peak.
        total_steps: Steps of the whole fit.
        warmup: Share of the steps on the way up.
        start_factor: First learning rate, as a share of the peak.
    """
    peaks = [group["lr"] for group in optimizer.param_groups]
    if warmup * total_steps == 1:
        warmup *= 1 + 1e-9  # OneCycleLR divides by the length of the way up less one step
    return OneCycleLR(
        optimizer,
        max_lr=peaks,
        total_steps=max(total_steps, 1),
        pct_start=warmup,
        div_factor=1 / start_factor,
        cycle_momentum=False,
    )


def cosine(
    optimizer: Optimizer, total_steps: int, end_factor: Annotated[float, Field(ge=0, le=1)] = 0.0
) -> LRScheduler:
    """Half a cosine from the optimizer's learning rate to ``end_factor`` of it (Loshchilov & Hutter 2017)."""
    end = end_factor * optimizer.param_groups[0]["lr"]
    return CosineAnnealingLR(optimizer, T_max=max(total_steps, 1), eta_min=end)


def make_schedule(
    factory: Callable[..., Any], optimizer: Optimizer, total_steps: int, monitor: str
) -> dict[str, Any] | None:
    """A schedule as Lightning takes it; None where the rate stays.

    One that takes ``total_steps`` is stepped with the optimizer; torch's own others with the epoch.

    Args:
        factory: Of the schedule.
        optimizer: Whose rate it moves.
        total_steps: Of the whole fit.
        monitor: The metric that ``ReduceLROnPlateau`` waits for.
    """
    by_step = "total_steps" in inspect.signature(factory).parameters
    schedule = factory(optimizer, total_steps=total_steps) if by_step else factory(optimizer)
    if schedule is None:
        return None
    return {"scheduler": schedule, "interval": "step" if by_step else "epoch", "monitor": monitor}


def configure_optimizer(
    module: LightningModule,
    optimizer: OptimizerFactory | Description,
    schedule: ScheduleFactory | Description,
) -> dict[str, Any]:
    """What ``configure_optimizers`` returns: only what is trained gets an entry."""
    built = built_factory(optimizer, "optimizer")(
        [parameter for parameter in module.parameters() if parameter.requires_grad]
    )
    steps, monitor = int(module.trainer.estimated_stepping_batches), f"{module.stage}/val/loss"
    made = make_schedule(built_factory(schedule, "scheduler"), built, steps, monitor)
    return {"optimizer": built, **({"lr_scheduler": made} if made else {})}
