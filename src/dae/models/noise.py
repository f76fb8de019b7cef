"""Ways to corrupt an image. ``forward`` corrupts while training and passes the image on otherwise."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Generator, Tensor, nn

Probability = Annotated[float, Field(ge=0, lt=1)]


class Noise(nn.Module):
    """A corruption of images (N, C, H, W) in [0, 1]; it has no parameters and no buffers."""

    def forward(self, images: Tensor) -> Tensor:
        """Corrupted images in training mode, the images themselves in evaluation mode."""
        return self.corrupt(images) if self.training else images

    @abstractmethod
    def corrupt(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Corrupted images, in either mode; drawn from ``generator``, or from torch's own state."""


def _draw(images: Tensor, probability: float, generator: Generator | None) -> Tensor:
    """Ones with ``probability``, else zeros, in the shape of ``images``."""
    # A third of bernoulli_'s time on a CPU.
    return torch.empty_like(images).uniform_(0, 1, generator=generator).lt_(probability)


class _PixelNoise(Noise):
    """A noise that meets each pixel with probability ``p``."""

    def __init__(self, p: Probability) -> None:
        super().__init__()
        self.p = p


class Dropout(_PixelNoise):
    """Pixels go to 0 with probability ``p``, the others are scaled by 1 / (1 - p), past 1 if need be.

    The notebook's noise, Keras's ``Dropout`` on the input.
    """

    def corrupt(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Corrupt as the class says."""
        return images * _draw(images, 1 - self.p, generator).div_(1 - self.p)


class Mask(_PixelNoise):
    """Pixels go to 0 with probability ``p``, the others stay (Vincent et al. 2010, masking noise)."""

    def corrupt(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Corrupt as the class says."""
        return images * _draw(images, 1 - self.p, generator)


class Gaussian(Noise):
    """Adds normal noise of standard deviation ``std`` (pixels are in [0, 1]) and clips to [0, 1]."""

    def __init__(self, std: NonNegativeFloat) -> None:
        super().__init__()
        self.std = std

    def corrupt(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Corrupt as the class says."""
        noise = torch.empty_like(images).normal_(0, 1, generator=generator)
        return (images + self.std * noise).clamp_(0, 1)


class SaltPepper(_PixelNoise):
    """Pixels become 0 or 1, each with probability ``p / 2`` (Vincent et al. 2010)."""

    def corrupt(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Corrupt as the class says."""
        draw = torch.empty_like(images).uniform_(0, 1, generator=generator)
        return images.masked_fill(draw < self.p, 0).masked_fill(draw < self.p / 2, 1)


class Block(Noise):
    """One square of ``size`` x ``size`` pixels goes to 0 in each image, anywhere inside it.

    The same place in every channel.

    Raises:
        ValueError: By ``corrupt``: the image is smaller.
    """

    def __init__(self, size: PositiveInt) -> None:
        super().__init__()
        self.size = size

    def corrupt(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Corrupt as the class says."""
        count, _, height, width = images.shape
        if self.size > min(height, width):
            raise ValueError(f"a square of {self.size} pixels has no room in {width} x {height}")
        device = images.device

        def covered(side: int) -> Tensor:
            draw = torch.rand(count, 1, device=device, generator=generator)
            start = (draw * (side - self.size + 1)).long()
            places = torch.arange(side, device=device)
            return (places >= start) & (places < start + self.size)

        rows, columns = covered(height), covered(width)
        return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)


class NoNoise(Noise):
    """The image itself: a plain autoencoder."""

    def corrupt(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Corrupt as the class says."""
        return images


# Those that are made with one number, by the names of their files in conf/dae/noise.
KINDS: dict[str, type[Noise]] = {
    "dropout": Dropout,
    "gaussian": Gaussian,
    "salt_pepper": SaltPepper,
    "mask": Mask,
    "block": Block,
}
