"""How well a linear readout tells the classes apart from the latents of stage 1, while that is trained."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Generator, Tensor

from dae.data.images import EVALUATION_BATCH_SIZE
from dae.errors import ConfigError, Problem
from dae.models.autoencoder import DenoisingAutoencoder
from dae.seeds import derive_seed

# Of the mean sum of squares of a latent unit. On MNIST the best, or within 0.003 of it, from 1,000 images on.
RIDGE = 1e-2


class Probe(Callback):
    """Accuracy of a ridge regression from the latents to the classes; at each validation, and of the test.

    It is fitted in closed form to the latents of training images whose labels ``data.labels`` keeps, so that
    stage 1 can be judged by what it is good for without a stage 2. Which of these images, where there are
    too many, depends on ``data.split_seed``. No random number is drawn from torch's own state.

    Args:
        images: How many training images, at most.
    """

    def __init__(self, images: PositiveInt = 5000) -> None:
        self.images = images

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Choose the images.

        Raises:
            ConfigError: The images have no classes.
        """
        data = trainer.datamodule  # type: ignore[attr-defined]
        self.fitted_to = None
        if not isinstance(pl_module, DenoisingAutoencoder):
            return
        if not data.classes:
            what = f"the images in {data.root} have no classes, which the probe is to tell apart"
            raise ConfigError([Problem("callbacks.probe", what, "try '~callbacks.probe'")])
        labelled = data.labelled().train
        generator = Generator().manual_seed(derive_seed("probe", data.split_seed))
        order = torch.randperm(len(labelled.labels), generator=generator)
        self.fitted_to = labelled.chosen(order[: self.images].sort().values)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Fit it to the present latents."""
        if self.fitted_to is None:
            return
        batches = self.fitted_to.images.split(EVALUATION_BATCH_SIZE)
        inputs = [latents(pl_module, images.to(pl_module.device).float().div_(255)) for images in batches]
        classes = len(trainer.datamodule.classes)  # type: ignore[attr-defined]
        self.weights, self.biases = ridge_regression(torch.cat(inputs), self.fitted_to.labels, classes)
        self.hits: list[Tensor] = []

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Compare what it says of a batch with the labels."""
        if self.fitted_to is not None:
            images, labels = batch
            scores = latents(pl_module, images) @ self.weights + self.biases
            hits = (scores.argmax(1) == labels.cpu()).double()
            # Weights that are no numbers have no accuracy.
            self.hits.append(hits.where(scores.isfinite().all(1), torch.nan))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the accuracy; the module logs the x-axis."""
        if self.fitted_to is not None:
            split = "test" if trainer.testing else "val"
            pl_module.log(f"dae/{split}/probe_accuracy", torch.cat(self.hits).mean())

    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end
    on_test_epoch_end = on_validation_epoch_end


def latents(module: LightningModule, images: Tensor) -> Tensor:
    """Latents (N, D) of images in [0, 1]: in float64 on the CPU, where every machine has it."""
    encoder = cast(DenoisingAutoencoder, module).encoder
    return encoder(images).flatten(1).cpu().double()


def ridge_regression(inputs: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """The weights (D, classes) and biases (classes,) that fit one-hot targets best.

    Hastie, Tibshirani and Friedman 2009, 3.4.1, with inputs and targets centred. The ridge is in proportion
    to the variance of the inputs, so that it does not matter in which unit they are.

    Args:
        inputs: (N, D) in float64.
        labels: (N,), each in [0, classes).
        classes: How many there are.
    """
    mean = inputs.mean(0)
    centred = inputs - mean
    targets = F.one_hot(labels, classes).to(inputs.dtype)
    gram = centred.T @ centred
    ridge = RIDGE * gram.diagonal().mean() + torch.finfo(gram.dtype).tiny  # inputs may be the same for all
    gram.diagonal().add_(ridge)
    weights = torch.linalg.solve_ex(gram, centred.T @ targets).result
    return weights, targets.mean(0) - mean @ weights
