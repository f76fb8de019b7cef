"""Noise on an image of any depth."""

from __future__ import annotations

from torch import Generator, Tensor

from dae.data.image_file import NotAnImageError
from dae.models.noise import Block, Noise
from dae.seeds import derive_seed


def noisy(noise: Noise, image: Tensor, top: float, seed: int, name: str) -> Tensor:
    """An image under noise, drawn from a seed and a name alone: the same, whatever others there are.

    Args:
        noise: The noise.
        image: (C, H, W), of any type.
        top: The level that is white; black is 0.
        seed: Of all images.
        name: Of this one.

    Returns:
        The same shape and type.

    Raises:
        NotAnImageError: It is smaller than the square of ``Block``.
    """
    height, width = image.shape[1:]
    if isinstance(noise, Block) and noise.size > min(height, width):
        raise NotAnImageError(f"its {width} x {height} pixels have no room for a square of {noise.size}")
    generator = Generator().manual_seed(derive_seed("noise", seed, name))
    made = noise.corrupt(image[None].float().div_(top), generator)[0].clamp_(0, 1).mul_(top)
    return (made if image.is_floating_point() else made.round_()).to(image.dtype)
