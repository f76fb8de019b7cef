"""A trained denoiser on images of any size, grey or in colour."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from dae.data.image_file import Preprocessing
from dae.use.models import Autoencoder
from dae.use.tiling import strips


def denoised(
    model: Autoencoder,
    image: Tensor,
    top: float = 1,
    resize: bool = False,
    told: Callable[[float], object] = lambda share: None,
) -> Tensor:
    """An image without its noise, of its own size.

    One of the size that the network takes goes through it as it is; any other in tiles that overlap. A
    network for grey images is given each channel by itself; one for colour is given grey as a colour.

    Args:
        model: The denoiser.
        image: (C, H, W), with 1 channel or 3, of any type.
        top: The level that is white; black is 0.
        resize: Instead of tiles, bring the image to the size that the network takes, and the result back.
        told: Is given the share of the image that is done, as it grows.

    Returns:
        The same shape and type.

    Raises:
        UserError: The checkpoint is too old to say which images its network takes.
    """
    how, made, row = model.preprocessing, torch.empty_like(image), 0
    function = partial(_by_channels, model, how.channels, top)
    parts: Iterable[Tensor]
    if image.shape[1:] == (how.image_size, how.image_size):
        parts = [function(image[None].float())[0]]
    elif resize:
        parts = [_resized(function, how, image[None].float(), top)[0]]
    else:
        parts = strips(function, image, how.image_size)
    for part in parts:
        levels = part * top
        made[:, row : row + part.shape[1]] = levels if image.is_floating_point() else levels.round()
        row += part.shape[1]
        told(row / image.shape[1])
    return made


def _by_channels(model: Autoencoder, channels: int, top: float, levels: Tensor) -> Tensor:
    """What a network that takes so many channels makes of images (N, C, S, S), in [0, 1]."""
    images = levels / top
    if images.shape[1] == channels:
        return model(images)
    if channels == 1:
        return model(images.flatten(0, 1)[:, None]).view_as(images)
    return model(images.expand(-1, channels, -1, -1)).mean(1, keepdim=True)


def _resized(function: Callable[[Tensor], Tensor], how: Preprocessing, image: Tensor, top: float) -> Tensor:
    """All of an image (1, C, H, W) at once: padded as in training where it was, stretched otherwise."""
    side, size = how.image_size, image.shape[2:]
    inner = [max(1, round(length * side / max(size))) if how.fit == "pad" else side for length in size]
    small = F.interpolate(image, inner, mode="bilinear", antialias=True)
    above, left = ((side - length) // 2 for length in inner)
    borders = (left, side - inner[1] - left, above, side - inner[0] - above)
    made = function(F.pad(small, borders, value=top * (how.background == "white")))
    found = made[:, :, above : above + inner[0], left : left + inner[1]]
    return F.interpolate(found, size, mode="bilinear", antialias=True)
