"""A deeper pair with batch normalisation: an encoder of residual stages, and the decoder that mirrors it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from dae.models.networks import LatentShape, keras_init, spread_latent

# Bounded, since a checkpoint of somebody else may ask for any number.
StageWidths = Annotated[Sequence[PositiveInt], Field(min_length=1, max_length=8)]
Depth = Annotated[int, Field(ge=1, le=16)]


def residual_stage(in_channels: int, out_channels: int, depth: int, stride: int) -> list[nn.Module]:
    """The residual blocks of a stage (He et al. 2016), the first of which changes channels and side.

    What is added there is a 1x1 convolution of the mean over stride x stride pixels (He et al. 2019).
    """
    shortcut = None
    if stride > 1 or in_channels != out_channels:
        shortcut = nn.Sequential(
            nn.AvgPool2d(stride, ceil_mode=True),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
    first = BasicBlock(in_channels, out_channels, stride, shortcut)
    return [first, *(BasicBlock(out_channels, out_channels) for _ in range(depth - 1))]


def halved_sides(side: int, times: int) -> list[int]:
    """A side and its halves, rounded up: 28, 14, 7, 4.

    Raises:
        ValueError: One pixel would be left, of which batch normalisation cannot take the variance.
    """
    sides = [-(-side // 2**done) for done in range(times + 1)]
    if sides[-1] < 2:
        raise ValueError(
            f"{times} widths halve a side of {side} pixels to one pixel; expected 2 or more: "
            f"give fewer widths, or images of {2**times + 1} pixels and more"
        )
    return sides


class ResNetEncoder(nn.Module):
    """Residual stages that halve the side each: (N, in_channels, S, S) -> (N, widths[-1], S', S').

    S' is S halved and rounded up once a stage, so that any side will do: 28 becomes 4 by three stages.

    Args:
        in_channels: Colour channels of the images.
        image_size: Side S of the images in pixels.
        widths: Channels of the stages, from the image to the latent.
        depth: Residual blocks of each stage.

    Attributes:
        blocks: The stages.
        latent_shape: (C, H, W) of the latent of one image.

    Raises:
        ValueError: The images are too small for so many stages.
    """

    def __init__(
        self,
        in_channels: PositiveInt = 1,
        image_size: PositiveInt = 28,
        widths: StageWidths = (16, 32, 64),
        depth: Depth = 1,
    ) -> None:
        super().__init__()
        side = halved_sides(image_size, len(widths))[-1]
        self.latent_shape = (widths[-1], side, side)
        pairs = pairwise([in_channels, *widths])
        self.blocks = nn.Sequential(
            *(nn.Sequential(*residual_stage(*pair, depth, stride=2)) for pair in pairs)
        )
        keras_init(self)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Images in [0, 1] to latents."""
        return self.blocks(images.contiguous(memory_format=torch.channels_last))


class ResNetDecoder(nn.Module):
    """Nearest-neighbour upsampling and a residual stage in turn, then a convolution to the image.

    (N, *latent_shape) -> logits (N, out_channels, S, S), through the sides that the encoder came by.

    Args:
        out_channels: Colour channels of the images.
        image_size: Side S of the images in pixels.
        widths: Those of the encoder, in the encoder's order.
        depth: Residual blocks of each stage.
        latent_shape: Of the latent of one image; None is that of a ``ResNetEncoder`` of these widths. Any
            other is brought to that by a dense layer, ``spread``.

    Raises:
        ValueError: The images are too small for so many stages.
    """

    def __init__(
        self,
        out_channels: PositiveInt = 1,
        image_size: PositiveInt = 28,
        widths: StageWidths = (16, 32, 64),
        depth: Depth = 1,
        latent_shape: LatentShape | None = None,
    ) -> None:
        super().__init__()
        *sides, side = halved_sides(image_size, len(widths))
        self.spread = spread_latent(latent_shape, (widths[-1], side, side))
        pairs = pairwise([*reversed(widths), widths[0]])
        self.stages = nn.Sequential(
            *(
                nn.Sequential(nn.Upsample(size=(side, side)), *residual_stage(*pair, depth, stride=1))
                for side, pair in zip(reversed(sides), pairs, strict=True)
            )
        )
        self.to_image = nn.Conv2d(widths[0], out_channels, 3, padding=1)
        keras_init(self)
        self.to(memory_format=torch.channels_last)

    def forward(self, latents: Tensor) -> Tensor:
        """Latents to logits; their sigmoid is the image."""
        return self.to_image(self.stages(self.spread(latents)))
