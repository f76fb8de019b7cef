"""Augmentation of training images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def shift_at_random(images: Tensor, most: int) -> Tensor:
    """Each image moved by its own whole number of pixels in -most .. most, down and to the right; drawn anew.

    What moves out is lost, what comes in is zero.

    Args:
        images: (N, C, H, W).
        most: In pixels.

    Returns:
        The same shape and type.
    """
    count, _, height, width = images.shape
    corners = torch.randint(2 * most + 1, (2, count, 1), device=images.device)
    rows = corners[0] + torch.arange(height, device=images.device)
    columns = corners[1] + torch.arange(width, device=images.device)
    padded = F.pad(images, (most, most, most, most))
    each = torch.arange(count, device=images.device)[:, None, None]
    return padded[each, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)
