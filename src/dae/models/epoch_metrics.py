"""What images are measured by, and metrics that are computed, logged and reset once an epoch."""

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

REACH, SIGMA = 5, 1.5  # pixels; the window of SSIM
C1, C2 = 0.01**2, 0.03**2  # for a data range of 1


def _pixel_losses(logits: Tensor, targets: Tensor, probabilities: Tensor) -> Tensor:
    softplus = logits.clamp(min=0).sub_(torch.maximum(probabilities, 1 - probabilities).log_())
    return softplus.addcmul_(logits, targets, value=-1)


class _CrossEntropy(torch.autograd.Function):
    """softplus(x) - t x, where softplus(x) = max(x, 0) - log max(p, 1 - p), p = sigmoid(x); gradient p - t.

    Torch's own form takes log1p of an exponential twice, which is not vectorized on a CPU: 1.6 times as long.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        probabilities = logits.sigmoid()
        ctx.save_for_backward(probabilities, targets)
        return _pixel_losses(logits, targets, probabilities).mean()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        probabilities, targets = ctx.saved_tensors
        return (probabilities - targets).mul_(gradients[0] / targets.numel()), None


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over all elements in nats, as ``F.binary_cross_entropy_with_logits``; targets are in [0, 1].

    Args:
        logits: Any shape.
        targets: The same shape; no gradient flows to them.
    """
    loss: Tensor = _CrossEntropy.apply(logits, targets)
    return loss


def image_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """The same as a mean over each image (N, C, H, W): (N,). It has no gradient."""
    with torch.no_grad():
        return _pixel_losses(logits, targets, logits.sigmoid()).flatten(1).mean(1)


def structural_similarity(images: Tensor, targets: Tensor) -> Tensor:
    """SSIM of images in [0, 1] (Wang et al. 2004): Gaussian window of 11 x 11 pixels.

    The same figure as torchmetrics', borders reflected, but its convolution of five maps costs 8 ms a batch
    of 128, more than the network. The window is separable: with a matrix V that slides it along a side,
    V @ map @ V.T is the map seen through it.

    Args:
        images: (N, C, S, S), with a side of at least 6 pixels.
        targets: What they should be.

    Returns:
        The mean over each image, (N,).
    """
    window = _window_matrix(images.shape[-1]).to(images)
    maps = torch.stack([images, targets, images * images, targets * targets, images * targets])
    x, y, xx, yy, xy = window @ maps @ window.T
    luminance = (2 * x * y + C1) / (x * x + y * y + C1)
    contrast = (2 * (xy - x * y) + C2) / ((xx - x * x).clamp_(0) + (yy - y * y).clamp_(0) + C2)
    return (luminance * contrast).flatten(1).mean(1)


def _window_matrix(side: int) -> Tensor:
    """(side, side): row i holds the taps of the window around i, reflected at the borders."""
    offsets = torch.arange(-REACH, REACH + 1)
    taps = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    columns = (torch.arange(side)[:, None] + offsets).abs()
    columns = (side - 1) - ((side - 1) - columns).abs()
    return torch.zeros(side, side).scatter_add_(1, columns, (taps / taps.sum()).expand(side, -1))


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
