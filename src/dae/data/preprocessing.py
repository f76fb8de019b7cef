"""How the images that a network takes are made of files: what a checkpoint says of it, as plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from pydantic import PositiveInt
from torch import Tensor

from dae.data.image_file import flat_image, flattened

# Raised by whoever changes what becomes of a file: ``image_file`` and ``fitted``.
CONVERSION: Literal[3] = 3


@dataclass(frozen=True)
class Preprocessing:
    """From a file to the pixels of a network's input.

    Attributes:
        image_size: Side in pixels.
        channels: 1 grey, 3 colour.
        fit: Of images that are not square: ``pad``, ``crop`` or ``stretch``.
        background: What ``pad`` adds and what lies under transparency.
        conversion: The version of how depth, colour and orientation of a file are brought to 8 bits, grey or
            RGB, upright.
    """

    image_size: PositiveInt
    channels: Literal[1, 3]
    fit: Literal["pad", "crop", "stretch"] = "pad"
    background: Literal["white", "black"] = "white"
    conversion: Literal[3] = CONVERSION

    def described(self) -> dict[str, Any]:
        """Plain values, from which it can be built again."""
        return asdict(self)

    def flat(self, image: Path | str | Image.Image) -> Image.Image:
        """An image in its own size: grey or RGB, upright, opaque.

        Args:
            image: A file, or an image that Pillow has read.

        Raises:
            NotAnImageError: It is none, not a whole one, or its levels have no range that is known.
        """
        if isinstance(image, Image.Image):
            return flattened(image, self.channels, self.background)[0]
        return flat_image(Path(image), self.channels, self.background)[0]

    def fitted(self, flat: Image.Image) -> Image.Image:
        """An image of ``flat`` with the side that the network takes."""
        size = (self.image_size, self.image_size)
        if self.fit == "crop":
            return ImageOps.fit(flat, size, Image.Resampling.BILINEAR)
        if self.fit == "stretch":
            return flat.resize(size, Image.Resampling.BILINEAR)
        sides = [max(1, round(side * self.image_size / max(flat.size))) for side in flat.size]
        whole = flat.resize((sides[0], sides[1]), Image.Resampling.BILINEAR)
        padded = Image.new(flat.mode, size, self.background)
        padded.paste(whole, ((size[0] - sides[0]) // 2, (size[1] - sides[1]) // 2))
        return padded


def image_tensor(flat: Image.Image) -> Tensor:
    """An image, grey or RGB of 8 bits, as (1, C, H, W) in [0, 1]."""
    pixels = torch.from_numpy(np.array(flat, np.uint8))
    return (pixels[None] if pixels.dim() == 2 else pixels.movedim(-1, 0))[None].float().div_(255)
