"""Upsampling and convolution as one operation at the low resolution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
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
