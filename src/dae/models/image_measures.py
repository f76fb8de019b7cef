"""What a reconstruction is measured by: binary cross-entropy per pixel, and structural similarity (SSIM)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

REACH, SIGMA = 5, 1.5  # pixels; the window of SSIM
C1, C2 = 0.01**2, 0.03**2  # for a data range of 1


def _pixel_losses(logits: Tensor, targets: Tensor, probabilities: Tensor) -> Tensor:
    softplus = logits.clamp(min=0).sub_(torch.maximum(probabilities, 1 - probabilities).log_())
    return softplus.addcmul_(logits, targets, value=-1)


class _CrossEntropy(torch.autograd.Function):
    """softplus(x) - t x, where softplus(x) = max(x, 0) - log max(p, 1 - p), p = sigmoid(x); gradient p - t.

    Torch's own form takes log1p of an exponential twice, which is not vectorized on a CPU: 1.6 times as long.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        probabilities = logits.sigmoid()
        ctx.save_for_backward(probabilities, targets)
        return _pixel_losses(logits, targets, probabilities).mean()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        probabilities, targets = ctx.saved_tensors
        return (probabilities - targets).mul_(gradients[0] / targets.numel()), None


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over all elements in nats, as ``F.binary_cross_entropy_with_logits``; targets are in [0, 1].

    Args:
        logits: Any shape.
        targets: The same shape; no gradient flows to them.
    """
    loss: Tensor = _CrossEntropy.apply(logits, targets)
    return loss


def image_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """The same as a mean over each image (N, C, H, W): (N,). It has no gradient."""
    with torch.no_grad():
        return _pixel_losses(logits, targets, logits.sigmoid()).flatten(1).mean(1)


def structural_similarity(images: Tensor, targets: Tensor) -> Tensor:
    """SSIM of images in [0, 1] (Wang et al. 2004): Gaussian window of 11 x 11 pixels.

    The same figure as torchmetrics', borders reflected, but its convolution of five maps costs 8 ms a batch
    of 128, more than the network. The window is separable: with a matrix V that slides it along a side,
    V @ map @ V.T is the map seen through it.

    Args:
        images: (N, C, S, S), with a side of at least 6 pixels.
        targets: What they should be.

    Returns:
        The mean over each image, (N,).
    """
    window = _window_matrix(images.shape[-1]).to(images)
    maps = torch.stack([images, targets, images * images, targets * targets, images * targets])
    x, y, xx, yy, xy = window @ maps @ window.T
    luminance = (2 * x * y + C1) / (x * x + y * y + C1)
    contrast = (2 * (xy - x * y) + C2) / ((xx - x * x).clamp_(0) + (yy - y * y).clamp_(0) + C2)
    return (luminance * contrast).flatten(1).mean(1)


def _window_matrix(side: int) -> Tensor:
    """(side, side): row i holds the taps of the window around i, reflected at the borders."""
    offsets = torch.arange(-REACH, REACH + 1)
    taps = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    columns = (torch.arange(side)[:, None] + offsets).abs()
    columns = (side - 1) - ((side - 1) - columns).abs()
    return torch.zeros(side, side).scatter_add_(1, columns, (taps / taps.sum()).expand(side, -1))
