"""Upsampling and convolution in one, at the low resolution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Rows of a 3-tap kernel as seen from the low resolution, for even and for odd output rows.
_PHASES = torch.tensor(
    [[[1, 0, 0], [0, 1, 1], [0, 0, 0]], [[0, 0, 0], [1, 1, 0], [0, 0, 1]]], dtype=torch.float32
)


class UpsampledConv(nn.Conv2d):
    """The 'same' 3x3 convolution of the nearest-neighbour x2 upsampling of its input.

    (N, C, H, W) -> (N, O, 2H, 2W); its parameters are those of the convolution.

    Output row 2i sees upsampled rows 2i-1, 2i, 2i+1, which are input rows i-1, i, i: the kernel (w0, w1 + w2,
    0) on the input. Row 2i+1 likewise sees i, i, i+1: (0, w0 + w1, w2). The same for columns: four kernels,
    one convolution to four times the channels, and a pixel shuffle puts the phases into place (Shi et al.
    2016).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Double the side."""
        assert self.bias is not None
        phases = _PHASES.to(self.weight)
        # o, c: channels; a, b: phase of row and column; k, l: low-resolution taps; r, s: stored taps.
        kernels = torch.einsum("akr,bls,ocrs->oabckl", phases, phases, self.weight)
        kernels = kernels.reshape(-1, *self.weight.shape[1:])
        outputs = F.conv2d(inputs, kernels, self.bias.repeat_interleave(4), padding=1)
        return F.pixel_shuffle(outputs, 2)
