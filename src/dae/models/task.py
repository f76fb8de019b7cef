"""A stage of the user's own: another task on the same images, with the same checks, results and pages."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from torch import Tensor

from dae.errors import UserError
from dae.metrics import METRICS, Mode
from dae.models.epoch_metrics import ImageMean, Mean, MeasuredModule, metric_collection
from dae.models.optimization import OptimizerFactory, ScheduleFactory, configure_optimizer

Batch = tuple[Tensor, Tensor]


class Task(MeasuredModule):
    """Say what is measured of each image; the mean of ``loss`` is trained on.

    ``forward`` takes images (N, C, H, W) in [0, 1]. Any hook of a LightningModule may be another one.

    Attributes:
        metrics: What ``measure`` gives besides ``loss``, and which way is better. The first one decides which
            epoch counts, ``loss`` where there is none.
    """

    stage = "task"
    metrics: ClassVar[dict[str, Mode]] = {}

    def __init__(self) -> None:
        super().__init__()
        names = self.metrics | METRICS["task"]
        self.trained = metric_collection(**{name: Mean() for name in names})
        self.evaluated = metric_collection(**{name: ImageMean() for name in names})

    @abstractmethod
    def measure(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """``loss`` and the ``metrics`` of each image, (N,) each."""

    def train_with(self, optimizer: OptimizerFactory, scheduler: ScheduleFactory) -> None:
        """Set what ``configure_optimizers`` builds."""
        self.factories = optimizer, scheduler

    def configure_optimizers(self) -> Any:
        """See ``optimization.configure_optimizer``."""
        return configure_optimizer(self, *self.factories)

    def _measured(self, batch: Batch) -> dict[str, Tensor]:
        values = self.measure(*batch)
        found = {name: tuple(value.shape) for name, value in values.items()}
        wanted = dict.fromkeys(self.evaluated, (len(batch[0]),))
        if found != wanted:
            raise UserError(f"{type(self).__name__}.measure gives {found}, expected {wanted}")
        return values

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The mean loss of one batch. Logging waits for the epoch's end."""
        means = {name: value.mean() for name, value in self._measured(batch).items()}
        for name, mean in means.items():
            self.trained[name].update(mean, len(batch[0]))
        return means["loss"]

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Measure one batch."""
        for name, value in self._measured(batch).items():
            self.evaluated[name].update(value)

    test_step = validation_step
