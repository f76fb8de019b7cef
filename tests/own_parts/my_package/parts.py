"""An encoder, a decoder, a noise, a callback, an optimizer and a source of images of a user's own."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from pathlib import Path

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Generator, Tensor, nn

from dae.data.image_set import ImageSet, Split, with_fixed_test
from dae.models.noise import Noise


class Strided(nn.Sequential):
    """An encoder; what it takes of the images, ``in_channels`` here, is added."""

    def __init__(self, in_channels: PositiveInt, width: PositiveInt) -> None:
        first, second = (nn.Conv2d(size, width, 3, 2, 1) for size in (in_channels, width))
        super().__init__(first, nn.ReLU(), second, nn.ReLU())


class Dense(nn.Sequential):
    """A decoder, to logits; ``latent_shape`` is that of its encoder."""

    def __init__(self, latent_shape: list[int], out_channels: PositiveInt, image_size: PositiveInt) -> None:
        shape = (out_channels, image_size, image_size)
        super().__init__(nn.Flatten(), nn.Linear(prod(latent_shape), prod(shape)), nn.Unflatten(1, shape))


class Speckle(Noise):
    """Each pixel times a factor around 1."""

    def __init__(self, std: NonNegativeFloat) -> None:
        super().__init__()
        self.std = std

    def corrupt(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        return (images * torch.empty_like(images).normal_(1, self.std, generator=generator)).clamp_(0, 1)


class Norms(Callback):
    """Prints the norm of the weights of a stage."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        print(pl_module.stage, sum(weight.norm().item() for weight in pl_module.parameters()))


class Heavy(torch.optim.SGD):
    """SGD with momentum."""

    def __init__(self, params: Iterable[Tensor], lr: PositiveFloat = 1e-2) -> None:
        super().__init__(params, lr, momentum=0.9, nesterov=True)


def bars(root: Path, image_size: int, channels: int, count: PositiveInt = 200) -> ImageSet:
    """A source of images: horizontal bars and vertical ones."""
    labels = torch.arange(count) % 2
    images = torch.zeros(count, channels, image_size, image_size, dtype=torch.uint8)
    images[labels == 0, :, ::4], images[labels == 1, :, :, ::4] = 255, 255
    return with_fixed_test(Split(images, labels), ("rows", "columns"))
