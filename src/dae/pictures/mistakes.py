"""The most confident mistakes of a classifier."""

from __future__ import annotations

from pydantic import PositiveInt
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from dae.data.image_set import bytes_to_floats
from dae.pictures.figures import draw_image_rows, draw_text, pad_with_white
from dae.pictures.predictions import Predictions
from dae.pictures.publishing import class_names, evaluated_split, images_and_epoch, publish
from dae.text import pluralize


class Mistakes(Predictions):
    """The most confident mistakes, with what they are and what they are taken for (``mistakes.png``).

    Args:
        count: At most so many.
        every_n_epochs: Epochs between two pictures; the last epoch always has one, and so does the test.
    """

    def __init__(self, count: PositiveInt = 16, every_n_epochs: PositiveInt = 5) -> None:
        super().__init__(every_n_epochs)
        self.count = count

    def show(self, trainer: Trainer, module: LightningModule, probabilities: Tensor, labels: Tensor) -> None:
        """Draw the mistakes."""
        classes = class_names(trainer)
        confidence, predicted = probabilities.max(1)
        worst = most_confident(confidence, predicted != labels, self.count)
        wrong = int((predicted != labels).sum())
        head = f"{pluralize(wrong, 'mistake')} in {len(labels):,} {images_and_epoch(trainer)}"
        if not wrong:
            publish(trainer, module, "mistakes", draw_text(head))
            return
        images = bytes_to_floats(evaluated_split(trainer)[1].images[worst])
        captions = [
            f"{classes[label]}\nas {classes[taken]}\n{sure:.0%}"
            for label, taken, sure in zip(
                *(values[worst].tolist() for values in (labels, predicted, confidence)), strict=True
            )
        ]
        columns = min(len(worst), 8)
        starts = range(0, len(worst), columns)
        names = {start: f"{start + 1}-{min(start + columns, len(worst))}" for start in starts}
        rows = {names[start]: pad_with_white(images[start : start + columns], columns) for start in starts}
        texts = {names[start]: captions[start : start + columns] for start in starts}
        publish(
            trainer,
            module,
            "mistakes",
            draw_image_rows(rows, texts, f"{head}; the most confident, as what they are taken for:"),
        )


def most_confident(confidence: Tensor, wrong: Tensor, count: int) -> Tensor:
    """Indices of the wrong ones (N,), the most confident first."""
    indices = wrong.nonzero().squeeze(1)
    order = confidence[indices].argsort(descending=True, stable=True)
    return indices[order[:count]]
