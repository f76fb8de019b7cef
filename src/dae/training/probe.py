"""How well a linear readout tells the classes apart from the latents of stage 1, while that is trained."""

from __future__ import annotations

from typing import Any, cast

import torch
from pydantic import PositiveInt
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Generator, Tensor

from dae.data.image_set import bytes_to_floats
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
        from sklearn.linear_model import RidgeClassifier

        pieces = self.fitted_to.images.split(EVALUATION_BATCH_SIZE)
        inputs = torch.cat([_latents(pl_module, bytes_to_floats(piece)) for piece in pieces])
        variance = (inputs - inputs.mean(0)).square().sum(0).mean()
        # In proportion to the variance, so that it does not matter in which unit the latents are.
        self.ridge = RidgeClassifier(float(RIDGE * variance) + 1e-30)
        self.is_fitted = bool(inputs.isfinite().all())
        if self.is_fitted:
            self.ridge.fit(inputs.numpy(), self.fitted_to.labels.numpy())
        self.hits: list[Tensor] = []

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Compare what it says of a batch with the labels."""
        if self.fitted_to is not None:
            images, labels = batch
            inputs = _latents(pl_module, images)
            if self.is_fitted and inputs.isfinite().all():
                said = torch.from_numpy(self.ridge.predict(inputs.numpy()))
                self.hits.append((said == labels.cpu()).double())
            else:  # weights that are no numbers have no accuracy
                self.hits.append(torch.full(labels.shape, torch.nan, dtype=torch.float64))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the accuracy; the module logs the x-axis."""
        if self.fitted_to is not None:
            split = "test" if trainer.testing else "val"
            pl_module.log(f"dae/{split}/probe_accuracy", torch.cat(self.hits).mean())

    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end
    on_test_epoch_end = on_validation_epoch_end


def _latents(module: LightningModule, images: Tensor) -> Tensor:
    """Latents (N, D) of images in [0, 1]: in float64 on the CPU, where every machine has it."""
    encoder = cast(DenoisingAutoencoder, module).encoder
    return encoder(images.to(module.device)).flatten(1).cpu().double()
