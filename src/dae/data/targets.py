"""What a set of images is as the target of an autoencoder."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dae.data.stored import StoredImages

PIECE = 128  # images at once: the whole set in float would take four times its memory


def mean_image(images: Tensor | StoredImages) -> Tensor:
    """The mean of uint8 images (N, C, H, W), as floats in [0, 1], (C, H, W)."""
    total = torch.zeros(images.shape[1:])
    for piece in images.split(PIECE):
        total += piece.float().sum(0)
    return total.div_(255 * len(images))


def pixel_accuracy_ceiling(images: Tensor | StoredImages) -> float:
    """The share of values in uint8 images (N, C, H, W) that are exactly black or white.

    What is rounded is one of the two, so no reconstruction has a higher pixel accuracy.
    """
    extreme = torch.zeros((), dtype=torch.int64)
    for piece in images.split(PIECE):
        extreme += ((piece == 0) | (piece == 255)).sum()
    return float(extreme) / (math.prod(images.shape))
