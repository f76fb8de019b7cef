"""Calibration: does the confidence of a classifier equal its accuracy?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import PositiveInt
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from dae.pictures.confusion import split_key
from dae.pictures.figures import draw_text, figure_pixels
from dae.pictures.predictions import Predictions
from dae.pictures.publishing import epochs_done, evaluated_split, images_and_epoch, publish, result_tag
from dae.pictures.style import BLUE, GREY, ORANGE, new_figure, style_axes


class Calibration(Predictions):
    """Reliability diagram (``calibration.png``) and expected calibration error (ECE).

    Args:
        bins: Of equal width between confidence 0 and 1.
        every_n_epochs: Epochs between two pictures; the last epoch always has one, and so does the test.
    """

    def __init__(self, bins: PositiveInt = 15, every_n_epochs: PositiveInt = 5) -> None:
        super().__init__(every_n_epochs)
        self.bins = bins

    def show(self, trainer: Trainer, module: LightningModule, probabilities: Tensor, labels: Tensor) -> None:
        """Draw and log."""
        if not probabilities.isfinite().all():
            publish(
                trainer, module, "calibration", draw_text("No calibration: probabilities are not finite.")
            )
            return
        confidence, predicted = probabilities.max(1)
        found = reliability(confidence, predicted == labels, self.bins)
        tag = result_tag(trainer, module, f"{split_key(evaluated_split(trainer)[0])}/ece")
        for logger in trainer.loggers:
            logger.log_metrics({tag: found.error}, step=epochs_done(trainer))
        publish(trainer, module, "calibration", draw_reliability(found, images_and_epoch(trainer)))


@dataclass(frozen=True)
class Reliability:
    """Number, mean confidence and accuracy of the images in each bin of confidence; 0 in an empty one."""

    count: Tensor
    confidence: Tensor
    accuracy: Tensor

    @property
    def error(self) -> float:
        """ECE (Guo et al. 2017): mean over images of their bin's gap between accuracy and confidence."""
        gaps = (self.accuracy - self.confidence).abs() * self.count
        return float(gaps.sum() / self.count.sum())


def reliability(confidence: Tensor, right: Tensor, bins: int) -> Reliability:
    """Sort images by the probability (N,) of what they are taken for, be that ``right`` (N,) or not."""
    place = (confidence * bins).ceil().long().sub(1).clamp(0, bins - 1)
    count = torch.bincount(place, minlength=bins)

    def mean(values: Tensor) -> Tensor:
        return torch.bincount(place, values.double(), minlength=bins) / count.clamp(min=1)

    return Reliability(count, mean(confidence), mean(right))


def draw_reliability(found: Reliability, title: str) -> Tensor:
    """Accuracy against confidence, above the number of images."""
    figure = new_figure(6.5, 6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    bins, total = len(found.count), float(found.count.sum())
    there = found.count > 0
    middles = (torch.arange(bins) + 0.5) / bins
    means = [float((values * found.count).sum() / total) for values in (found.confidence, found.accuracy)]
    figure.suptitle(f"{int(total):,} {title}", fontsize=11, x=0.01, ha="left")
    style_axes(
        above, f"ECE {found.error:.4f}: mean confidence {means[0]:.4f}, accuracy {means[1]:.4f}", y="accuracy"
    )
    above.plot([0, 1], [0, 1], ls="--", lw=1, color=GREY, label="as often as it says")
    above.bar(middles[there], found.accuracy[there], width=0.9 / bins, color=BLUE, label="accuracy")
    above.plot(
        found.confidence[there], found.accuracy[there], "o", ms=4, color=ORANGE, label="mean of the bin"
    )
    above.set_ylim(0, 1.02)
    above.set_xlim(0, 1)
    above.legend(fontsize=9, frameon=False, loc="upper left")
    style_axes(below, "", "confidence", "images")
    below.bar(middles, found.count, width=0.9 / bins, color=GREY)
    below.set_yscale("symlog")
    return figure_pixels(figure)
