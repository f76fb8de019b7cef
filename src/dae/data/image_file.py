"""One file of an image: opened with care, and made what is trained on: upright, opaque, 8 bits deep."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import PositiveInt
from torch import Tensor

# Whatever a file is called: Pillow would hand others to programs like Ghostscript.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM")
SUFFIXES = tuple(sorted(suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS))
ORIENTATION = 0x0112  # in EXIF; 1 is upright
Fit = Literal["pad", "crop", "stretch"]
Background = Literal["white", "black"]
# Told as NotAnImageError, by name, instead.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class NotAnImageError(Exception):
    """A file cannot be read as an image; the argument says why, in words that follow the file's name."""


def is_image(name: str) -> bool:
    """Whether a file of this name is read as an image."""
    return name.lower().endswith(SUFFIXES) and name[0] != "."


@contextmanager
def opened(path: Path, verify: bool = True) -> Iterator[Image.Image]:
    """A file as an image whose pixels are not read yet.

    Args:
        path: The file.
        verify: Whether to hold it to its checksums, which takes reading it once more.

    Raises:
        NotAnImageError: Whatever goes wrong here or inside of the block.
    """
    try:
        if not path.is_file():  # to open a pipe might wait for ever
            raise NotAnImageError("it is no regular file")
        if verify:
            with Image.open(path, formats=FORMATS) as image:
                image.verify()
        with Image.open(path, formats=FORMATS) as image:
            if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
                size = f"{image.width:,} x {image.height:,} pixels"
                most = f"{Image.MAX_IMAGE_PIXELS:,}"
                raise NotAnImageError(f"its {size} are more than the {most} that are safe to read")
            yield image
    except NotAnImageError:
        raise
    except UnidentifiedImageError as error:
        raise NotAnImageError(f"it is no image of {', '.join(FORMATS)}") from error
    except Exception as error:  # Pillow lets through whatever its readers meet in a damaged file
        raise NotAnImageError(getattr(error, "strerror", None) or str(error) or repr(error)) from error


def flattened(image: Image.Image, channels: int, background: str) -> Image.Image:
    """The image, the first if there are several: grey or RGB of 8 bits, upright, laid over one colour.

    Args:
        image: As Pillow has opened or made it.
        channels: 1 grey, 3 colour.
        background: The colour that lies under transparency.

    Raises:
        NotAnImageError: Its levels have no range that is known.
    """
    flat = ImageOps.exif_transpose(image)
    if is_deep(flat):
        levels, top = deep_levels(flat)
        flat = Image.fromarray(np.rint(levels * (255 / top)).astype(np.uint8))
    elif flat.has_transparency_data:
        ground = Image.new("RGBA", flat.size, background)
        ground.alpha_composite(flat.convert("RGBA"))
        flat = ground
    if flat.mode not in ("1", "L"):
        flat = flat.convert("RGB")  # from which any mode can be made grey
    return flat.convert("L" if channels == 1 else "RGB")


def is_deep(image: Image.Image) -> bool:
    """Whether Pillow has kept levels of more than 8 bits: of grey alone."""
    return image.mode[0] in "IF"


def deep_levels(image: Image.Image) -> tuple[np.ndarray, int]:
    """The grey levels of 16 bits, or of floats in [0, 1], (H, W), and the one that is white; 0 is black.

    Raises:
        NotAnImageError: They are no levels of that range.
    """
    levels, top = np.asarray(image), 1 if image.mode == "F" else 65_535
    low, high = levels.min(), levels.max()
    if not 0 <= low <= high <= top:  # NaN neither
        raise NotAnImageError(f"its levels are {low:g} to {high:g}, expected 0 to {top:,}: scale them")
    return levels, top


@dataclass(frozen=True)
class Preprocessing:
    """From a file to the pixels of a network's input: what a checkpoint says of it, as plain values.

    Attributes:
        image_size: Side in pixels.
        channels: 1 grey, 3 colour.
        fit: Of images that are not square: ``pad``, ``crop`` or ``stretch``.
        background: What ``pad`` adds and what lies under transparency.
    """

    image_size: PositiveInt
    channels: Literal[1, 3]
    fit: Fit = "pad"
    background: Background = "black"

    def described(self) -> dict[str, Any]:
        """Plain values, from which it can be built again."""
        return asdict(self)

    def read(self, image: Path | str | Image.Image) -> Image.Image:
        """An image as it is trained on.

        Args:
            image: A file, or an image that Pillow has read.

        Raises:
            NotAnImageError: It is none, not a whole one, or its levels have no range that is known.
        """
        if isinstance(image, Image.Image):
            flat = flattened(image, self.channels, self.background)
        else:
            with opened(Path(image)) as read:
                flat = flattened(read, self.channels, self.background)
        return self._fitted(flat)

    def tensor(self, image: Path | str | Image.Image) -> Tensor:
        """The same as (1, C, S, S) in [0, 1]."""
        pixels = torch.from_numpy(np.array(self.read(image), np.uint8))
        return (pixels[None] if pixels.dim() == 2 else pixels.movedim(-1, 0))[None].float().div_(255)

    def _fitted(self, flat: Image.Image) -> Image.Image:
        size = (self.image_size, self.image_size)
        if self.fit == "crop":
            return ImageOps.fit(flat, size, Image.Resampling.BILINEAR)
        if self.fit == "stretch":
            return flat.resize(size, Image.Resampling.BILINEAR)
        return ImageOps.pad(flat, size, Image.Resampling.BILINEAR, self.background)
