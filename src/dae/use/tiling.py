"""A network that takes images of one side alone, on images of any size: by tiles that overlap.

Each tile counts most in its middle and nothing behind its border: the weights are a triangle over one and a
half as many rows, and columns, as two neighbours share. A network that is a little off towards the borders
of what it sees, as most are, then leaves no seams: where a tile begins, it has no weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

# Pixels that a network is given at once, 256 tiles of 28 x 28: half of them took it 1.2 times as long.
AT_ONCE = 256 * 28**2


def strips(function: Callable[[Tensor], Tensor], image: Tensor, side: int) -> Iterator[Tensor]:
    """What a function makes of an image, from the top down, so that neither has to fit into memory as floats.

    Neighbouring tiles share half of their rows or columns. Beyond its borders the image is reflected.

    Args:
        function: Of tiles (N, C, side, side) as floats, to others of that shape.
        image: (C, H, W), of any type and size.
        side: That the function takes.

    Yields:
        The rows that are finished, (C, rows, W).
    """
    channels, height, width = image.shape
    step = max(1, side // 2)
    places = torch.arange(side) + 0.5
    weights = torch.minimum(places, side - places)
    rows, row_sums = _covered(height, step, weights)
    columns, column_sums = _covered(width, step, weights)
    waiting = torch.zeros(channels, side, width)
    for start in range(0, height + step, step):
        band = image[:, rows[start : start + side]][:, :, columns].float()
        tiles = band.unfold(2, side, step).permute(2, 0, 1, 3)
        batches = tiles.tensor_split(-(-tiles.numel() // AT_ONCE))
        made = torch.cat([function(batch.contiguous()) for batch in batches]) * weights
        laid = made.permute(1, 2, 3, 0).reshape(1, channels * side**2, -1)
        whole = F.fold(laid, (1, len(columns)), (1, side), stride=(1, step)).view(channels, side, -1)
        waiting += (whole / column_sums)[:, :, step : step + width] * weights[:, None]
        if start:  # the rows before are a reflection alone
            last = min(step, height - start + step)
            yield waiting[:, :last] / row_sums[start : start + last, None]
        waiting = torch.cat([waiting[:, step:], waiting.new_zeros(channels, step, width)], 1)


def _covered(length: int, step: int, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Which pixels of a row the tiles see, from one ``step`` before it, and the sums of their weights."""
    starts = range(0, length + step, step)
    places = (torch.arange(starts[-1] + len(weights)) - step) % max(1, 2 * length - 2)
    sums = torch.zeros(len(places))
    for start in starts:
        sums[start : start + len(weights)] += weights
    return torch.minimum(places, 2 * length - 2 - places).clamp(min=0), sums
