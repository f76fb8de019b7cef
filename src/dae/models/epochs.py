"""Metrics that are computed, logged and reset once an epoch."""

from __future__ import annotations

from pytorch_lightning import LightningModule
from torchmetrics import MeanMetric, Metric, MetricCollection


class Mean(MeanMetric):
    """A mean that does not look for NaNs at each update: the look would wait for the device."""

    def __init__(self) -> None:
        super().__init__(nan_strategy="disable")


def collect(**metrics: Metric) -> MetricCollection:
    """Metrics that are updated each in its own way, and computed together."""
    return MetricCollection(dict(metrics), compute_groups=False)


def log_epoch(module: LightningModule, split: str, metrics: MetricCollection) -> None:
    """Log ``stage/split/<name>`` of each metric and reset it.

    Lightning takes the x-axis from a value named ``step``: here the epochs done, so that runs of different
    batch sizes line up.
    """
    values = {f"{module.stage}/{split}/{name}": value for name, value in metrics.compute().items()}
    fitting = module.trainer.state.fn == "fit"
    module.log_dict({**values, "step": float(module.current_epoch + fitting)})
    metrics.reset()
