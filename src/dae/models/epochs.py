"""Metrics that are computed, logged and reset once an epoch."""

from __future__ import annotations

from collections.abc import Mapping

from pytorch_lightning import LightningModule
from torch import nn
from torchmetrics import MeanMetric, Metric


class Mean(MeanMetric):
    """A mean that does not look for NaNs at each update: the look would wait for the device."""

    def __init__(self) -> None:
        super().__init__(nan_strategy="disable")


def metric_dict(metrics: Mapping[str, Metric]) -> nn.ModuleDict:
    """The metrics as a module, so that they follow their owner to its device."""
    return nn.ModuleDict(metrics)


def log_epoch(module: LightningModule, split: str, metrics: nn.ModuleDict) -> None:
    """Log ``stage/split/<name>`` of each metric and reset it.

    Lightning takes the x-axis from a value named ``step``: here the epochs done, so that runs of different
    batch sizes line up.
    """
    values = {f"{module.stage}/{split}/{name}": metric.compute() for name, metric in metrics.items()}  # type: ignore[operator]
    fitting = module.trainer.state.fn == "fit"
    module.log_dict({**values, "step": float(module.current_epoch + fitting)})
    for metric in metrics.values():
        metric.reset()  # type: ignore[operator]
