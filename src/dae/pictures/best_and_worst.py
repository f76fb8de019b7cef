"""The images that stage 1 reconstructs best and worst."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import PositiveInt
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from dae.models.autoencoder import DenoisingAutoencoder
from dae.models.image_measures import image_losses
from dae.pictures.figures import draw_image_rows
from dae.pictures.publishing import class_names, images_and_epoch, is_due, publish
from dae.pictures.watcher import Watcher


class BestAndWorst(Watcher):
    """The images with the least and with the greatest loss under ``dae.reference_noise``.

    During the fit they are validation images; at the end of the stage they are test images, reconstructed by
    the checkpoint that counts. They are picked while the evaluation goes on, from what it computes anyway.

    Args:
        count: How many of each.
        every_n_epochs: Epochs between two pictures; the last epoch always has one, and so does the test.
    """

    def __init__(self, count: PositiveInt = 5, every_n_epochs: PositiveInt = 5) -> None:
        self.count = count
        self.every_n_epochs = every_n_epochs
        self.best: dict[str, Tensor] = {}
        self.worst: dict[str, Tensor] = {}

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the images of the previous evaluation."""
        self.best, self.worst = {}, {}

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Keep the images of the batch that are among the best or the worst so far."""
        if not isinstance(pl_module, DenoisingAutoencoder) or not is_due(trainer, self.every_n_epochs):
            return
        images, labels = batch
        found = {
            "loss": image_losses(outputs["logits"], images),
            "label": labels,
            "clean": images,
            "noisy": outputs["noisy"],
            "reconstruction": outputs["logits"].sigmoid(),
        }
        self.best = most_extreme(self.best, found, self.count, largest=False)
        self.worst = most_extreme(self.worst, found, self.count, largest=True)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw, log, and write ``best_and_worst.png``."""
        if not self.best:
            return
        classes = class_names(trainer)
        shown = {key: torch.cat([self.best[key], self.worst[key]]).cpu() for key in self.best}
        words = ["best"] * len(self.best["loss"]) + ["worst"] * len(self.worst["loss"])
        captions = [
            f"{word}\n{classes[int(label)]}\nloss {float(loss):.3f}"
            for word, label, loss in zip(words, shown["label"], shown["loss"], strict=True)
        ]
        rows = {name: shown[name] for name in ("clean", "noisy", "reconstruction")}
        rows["absolute error"] = (rows["reconstruction"] - rows["clean"]).abs()
        title = f"Least and greatest loss: {images_and_epoch(trainer)}"
        publish(trainer, pl_module, "best_and_worst", draw_image_rows(rows, {"clean": captions}, title))

    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end
    on_test_epoch_end = on_validation_epoch_end


def most_extreme(
    kept: dict[str, Tensor], found: dict[str, Tensor], count: int, largest: bool
) -> dict[str, Tensor]:
    """Of both, the ``count`` images with the largest or the smallest ``loss``, the most extreme first."""
    joined = {key: torch.cat([kept[key], found[key]]) for key in kept} if kept else found
    chosen = joined["loss"].topk(min(count, len(joined["loss"])), largest=largest).indices
    return {key: values[chosen] for key, values in joined.items()}
