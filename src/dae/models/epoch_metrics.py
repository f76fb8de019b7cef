"""Metrics that are computed, logged and reset once an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pytorch_lightning import LightningModule
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.utilities import dim_zero_cat

from dae.models.description import Description
from dae.models.optimization import OptimizerFactory, ScheduleFactory, configure_optimizer


class Mean(Metric):
    """The mean over images of a value that is given as the mean over a batch.

    Torchmetrics' MeanMetric looks for NaNs at each update, which waits for the device; told not to look, it
    ignores the weights (1.9).
    """

    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, mean: Tensor, count: int) -> None:
        """Take in the mean over ``count`` images."""
        self.total += mean.detach() * count
        self.count += count

    def compute(self) -> Tensor:
        """The mean over all images so far."""
        return self.total / self.count


class ImageMean(Metric):
    """The mean over images of a value that is given, and kept until the next reset, for each of them."""

    values: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("values", [], dist_reduce_fx="cat")

    def update(self, values: Tensor) -> None:
        """Take in one value per image, (N,)."""
        self.values.append(values.detach())

    def compute(self) -> Tensor:
        """The mean over all images so far."""
        return dim_zero_cat(self.values).mean()


class BalancedAccuracy(Metric):
    """The share of a class's images that are classified right, as the mean over the classes that came up.

    Args:
        classes: How many there are.
    """

    right: Tensor
    images: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        for name in ("right", "images"):
            self.add_state(name, torch.zeros(classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, hits: Tensor, labels: Tensor) -> None:
        """Take in 1 for each image that is classified right, 0 for the others, (N,), and the true classes."""
        self.right.index_add_(0, labels, hits.long())
        self.images.index_add_(0, labels, torch.ones_like(labels))

    def compute(self) -> Tensor:
        """The mean over the classes so far."""
        there = self.images > 0
        return (self.right[there] / self.images[there]).mean()


def log_epoch(module: LightningModule, split: str, metrics: MetricCollection) -> None:
    """Log ``stage/split/<name>`` of each metric and reset it.

    Lightning takes the x-axis from a value named ``step``: here the epochs done, so that runs of different
    batch sizes line up.
    """
    values = {f"{module.stage}/{split}/{name}": value for name, value in metrics.compute().items()}
    fitting = module.trainer.state.fn == "fit"
    module.log_dict({**values, "step": float(module.current_epoch + fitting)})
    metrics.reset()


def values_per_image(metrics: MetricCollection) -> dict[str, Any]:
    """What ``test.json`` holds: the number of images and, by metric, the value of each image or class.

    Each process of a run evaluates all images, so its own values are all there are.
    """
    each = {
        name: dim_zero_cat(metric.values) for name, metric in metrics.items() if isinstance(metric, ImageMean)
    }
    rounded = {name: [round(value, 6) for value in values.tolist()] for name, values in each.items()}
    by_class = {
        name: {"right": metric.right.tolist(), "images": metric.images.tolist()}
        for name, metric in metrics.items()
        if isinstance(metric, BalancedAccuracy)
    }
    return {"images": len(next(iter(each.values()))), **rounded, **by_class}


class MeasuredModule(LightningModule):
    """A module that logs what it has measured at the end of each epoch.

    Args:
        optimizer: Builds the optimizer from the trained parameters.
        scheduler: Builds the learning rate schedule from the optimizer and the number of steps.
        train_metrics: Those of the training, which its steps update, each in its own way.
        eval_metrics: The same of validation and test.

    Attributes:
        tested: After a test, the value of each image, from which confidence intervals come.
    """

    stage: ClassVar[str]

    def __init__(
        self,
        optimizer: OptimizerFactory | Description,
        scheduler: ScheduleFactory | Description,
        train_metrics: Mapping[str, Metric],
        eval_metrics: Mapping[str, Metric],
    ) -> None:
        super().__init__()
        self.factories = optimizer, scheduler
        self.train_metrics = MetricCollection(dict(train_metrics), compute_groups=False)
        self.eval_metrics = MetricCollection(dict(eval_metrics), compute_groups=False)
        self.tested: dict[str, Any] = {}

    def configure_optimizers(self) -> Any:
        """See ``optimization.configure_optimizer``."""
        return configure_optimizer(self, *self.factories)

    def on_train_epoch_end(self) -> None:
        """Log the metrics of the epoch's training."""
        log_epoch(self, "train", self.train_metrics)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the validation."""
        log_epoch(self, "val", self.eval_metrics)

    def on_test_epoch_end(self) -> None:
        """Log what was measured, and keep the value of each image."""
        self.tested = values_per_image(self.eval_metrics)
        log_epoch(self, "test", self.eval_metrics)
