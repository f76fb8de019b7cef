"""The convolutional encoder and decoder, and a classifier's head. They know nothing of training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

# A 3-tap kernel as the two rows of outputs within one window of two inputs see it, each by its two taps.
_PHASES = torch.tensor([[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]], dtype=torch.float32)
# Both directions at once: the nine stored taps to phase (a, b), tap (k, l).
_KERNELS = torch.einsum("akr,bls->rsabkl", _PHASES, _PHASES).reshape(9, 16)


class UpsampledConv(nn.Conv2d):
    """The 3x3 convolution of the nearest-neighbour x2 upsampling of its input.

    (N, C, H, W) -> (N, O, 2H, 2W), or (N, O, 2H - 2, 2W - 2) if ``valid``; its parameters are those of the
    convolution.

    Output rows 2i+1 and 2i+2 both see inputs i and i+1 only: the first by the taps (w0 + w1, w2), the second
    by (w0, w1 + w2). The same for columns: one 2x2 convolution to four times the channels holds the four
    phases, and a pixel shuffle puts them into place (Shi et al. 2016): 4/9 of the arithmetic.
    """

    taps: Tensor

    def __init__(self, in_channels: int, out_channels: int, valid: bool = False) -> None:
        super().__init__(in_channels, out_channels, 3, padding=0 if valid else 1)
        self.valid = valid
        # On the device with the weights, and in no checkpoint.
        self.register_buffer("taps", _KERNELS, persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Upsample and convolve."""
        assert self.bias is not None
        channels = self.weight.shape[:2]
        # One matrix product; an einsum over the phases would take half a millisecond of calls.
        kernels = self.weight.reshape(-1, 9) @ self.taps
        kernels = kernels.view(*channels, 2, 2, 2, 2).permute(2, 3, 0, 1, 4, 5).reshape(-1, channels[1], 2, 2)
        outputs = F.conv2d(inputs, kernels, self.bias.repeat(4), padding=0 if self.valid else 1)
        # Phases are outermost among the channels, so that the shuffle copies whole runs of channels.
        count, _, height, width = outputs.shape
        outputs = outputs.permute(0, 2, 3, 1).reshape(count, height, width, 2, 2, -1).transpose(2, 3)
        outputs = outputs.reshape(count, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)
        if self.valid:
            return outputs
        # Windows that reach over the border also hold one row or column beyond it.
        return outputs[:, :, 1:-1, 1:-1].contiguous(memory_format=torch.channels_last)


Widths = Annotated[Sequence[PositiveInt], Field(min_length=3, max_length=3)]
AnyWidths = Annotated[Sequence[PositiveInt], Field(min_length=1)]
LatentShape = Annotated[Sequence[PositiveInt], Field(min_length=1)]
ImageSize = Annotated[int, Field(ge=8, multiple_of=4)]


def keras_init(module: nn.Module) -> None:
    """Keras's defaults, in place: Glorot uniform weights (Glorot & Bengio 2010), zero biases."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def blocks_of(encoder: nn.Module) -> list[nn.Module]:
    """The blocks of an encoder, from the image to the latent.

    One that offers no ``blocks`` is a block itself; the identity, which leaves raw pixels, has none.
    """
    return [] if isinstance(encoder, nn.Identity) else list(getattr(encoder, "blocks", [encoder]))


def spread_latent(found: Sequence[int] | None, wanted: tuple[int, ...]) -> nn.Module:
    """A dense layer from latents of one shape to those of another; nothing where they agree, or with None."""
    if found is None or tuple(found) == wanted:
        return nn.Identity()
    dense = nn.Linear(math.prod(found), math.prod(wanted))
    return nn.Sequential(nn.Flatten(), dense, nn.Unflatten(1, wanted))


class ConvBlock(nn.Module):
    """3x3 'same' convolution, ReLU, 2x2 max pool that rounds up.

    (N, in_channels, H, W) -> (N, out_channels, ceil(H / 2), ceil(W / 2))
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Halve the side; the pool comes first, since ReLU commutes with it and then has a quarter to do."""
        return F.relu(F.max_pool2d(self.conv(inputs), 2, ceil_mode=True))


class ConvEncoder(nn.Module):
    """Three convolution blocks: (N, in_channels, S, S) -> (N, widths[2], ceil(S/8), ceil(S/8)).

    An encoder of your own may offer ``blocks`` too, which its ``forward`` applies one after the other: the
    first ones are those that a classifier keeps frozen. Without them it is frozen, or trained, as a whole.

    Args:
        in_channels: Colour channels of the images.
        image_size: Side S of the images in pixels, a multiple of 4.
        widths: Channels of the three blocks.

    Attributes:
        blocks: The three blocks, from the image to the latent.
        latent_shape: (C, H, W) of the latent of one image.
    """

    def __init__(
        self, in_channels: PositiveInt = 1, image_size: ImageSize = 28, widths: Widths = (32, 16, 16)
    ) -> None:
        super().__init__()
        sizes = [in_channels, *widths]
        self.blocks = nn.Sequential(*(ConvBlock(*pair) for pair in pairwise(sizes)))
        side = -(-image_size // 8)
        self.latent_shape = (widths[-1], side, side)
        keras_init(self)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Images in [0, 1] to latents."""
        return self.blocks(images.contiguous(memory_format=torch.channels_last))


class ConvDecoder(nn.Module):
    """Three times a convolution and a nearest-neighbour x2 upsampling, then a convolution to the image.

    (N, *latent_shape) -> logits (N, out_channels, S, S). A side S with S % 8 == 4, like 28, has been rounded
    up on its way down (7 -> 4), so its third convolution is 'valid' (16 -> 14); with S % 8 == 0 it is 'same'.

    Args:
        out_channels: Colour channels of the images.
        image_size: Side S of the images in pixels, a multiple of 4.
        widths: Those of the encoder, in the encoder's order: the last three, or the first again.
        latent_shape: Of the latent of one image; None is that of a ``ConvEncoder`` of these widths,
            (widths[2], ceil(S/8), ceil(S/8)). Any other is brought to that by a dense layer, ``spread``.
    """

    def __init__(
        self,
        out_channels: PositiveInt = 1,
        image_size: ImageSize = 28,
        widths: AnyWidths = (32, 16, 16),
        latent_shape: LatentShape | None = None,
    ) -> None:
        super().__init__()
        first, second, third = [*2 * [widths[0]], *widths][-3:]
        side = -(-image_size // 8)
        self.spread = spread_latent(latent_shape, (third, side, side))
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(third, third, 3, padding=1),
                nn.Conv2d(third, second, 3, padding=1),
                # Most of the decoder's arithmetic is in these two.
                UpsampledConv(second, first, valid=image_size % 8 == 4),
                UpsampledConv(first, out_channels),
            ]
        )
        keras_init(self)
        self.to(memory_format=torch.channels_last)

    def forward(self, latents: Tensor) -> Tensor:
        """Latents to logits; their sigmoid is the image."""
        first, second, third, last = self.convs
        outputs = F.relu(first(self.spread(latents)))
        outputs = F.relu(second(F.interpolate(outputs, scale_factor=2.0, mode="nearest")))
        return last(F.relu(third(outputs)))


class ClassifierHead(nn.Sequential):
    """Latents (N, ...) of ``features`` numbers each -> logits (N, classes), by one dense layer or two.

    Args:
        features: Numbers in the latent of one image.
        classes: How many there are.
        hidden: Units with ReLU between the two; None for one layer alone, a linear probe.
    """

    def __init__(self, features: PositiveInt, classes: PositiveInt, hidden: PositiveInt | None) -> None:
        dense: list[nn.Module] = [nn.Linear(features, classes)]
        if hidden is not None:
            dense = [nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes)]
        super().__init__(nn.Flatten(), *dense)
        keras_init(self)
