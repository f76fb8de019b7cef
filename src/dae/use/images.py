"""Image files that a command is given: which are meant, and one of them to a tensor and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from torch import Tensor

from dae.data.image_file import SUFFIXES, deep_levels, is_deep, is_image, opened
from dae.errors import Problem, raise_problems


@dataclass(frozen=True)
class Input:
    """A file that is to be read as an image.

    Attributes:
        path: As it was given, or found below a folder that was.
        place: Its path from that folder; of a file that was given itself, its name.
    """

    path: Path
    place: Path


def find_images(words: Sequence[Path]) -> list[Input]:
    """The files that are meant, each once, in the order in which they were given.

    Args:
        words: Files, and folders with all images below them.

    Raises:
        ConfigError: A word is neither, or a folder has no image.
    """
    found: dict[Path, Input] = {}
    problems = []
    for path in words:
        below = sorted(file.relative_to(path) for file in path.rglob("*") if is_image(file.name))
        inputs = [Input(path / file, file) for file in below if not any(p[0] == "." for p in file.parts)]
        if not path.is_dir() and path.exists():
            inputs = [Input(path, Path(path.name))]
        elif not inputs:
            what = "a folder without an image" if path.is_dir() else "no such file or folder"
            problems.append(
                Problem(str(path), what, f"expected images (*{', *'.join(SUFFIXES)}) or folders of them")
            )
        for each in inputs:
            found.setdefault(each.path.absolute(), each)
    raise_problems(problems)
    return list(found.values())


@dataclass(frozen=True, eq=False)
class Picture:
    """The image in a file, upright.

    Attributes:
        levels: (C, H, W): grey or RGB of uint8, or grey of uint16, int32 or float32.
        top: The level that is white; black is 0.
        alpha: Its transparency, if it has any.
        how: What Pillow writes it with: format, resolution, profile, EXIF.
    """

    levels: Tensor
    top: float
    alpha: Image.Image | None
    how: dict[str, Any]

    def write(self, path: Path, levels: Tensor) -> None:
        """Write other levels of the same shape and type, with all else of this one.

        Raises:
            OSError: The file cannot be written.
        """
        image = Image.fromarray(levels.movedim(0, -1).squeeze(-1).numpy())
        if self.alpha is not None:
            image.putalpha(self.alpha)
            if self.how["format"] not in ("PNG", "TIFF"):  # the others know none beside grey
                image = image.convert("RGBA")
        image.save(path, **self.how)


def read_picture(path: Path) -> Picture:
    """The first image in a file.

    Raises:
        NotAnImageError: There is none, not a whole one, or its levels have no range that is known.
    """
    with opened(path) as image:
        how: dict[str, Any] = {"format": "JPEG" if isinstance(image, JpegImageFile) else image.format}
        how |= {name: image.info[name] for name in ("dpi", "icc_profile") if name in image.info}
        if image.mode == "CMYK":
            how.pop("icc_profile", None)  # which is for other colours than are written
        upright, top, alpha = ImageOps.exif_transpose(image), 255, None
        # The tags of a TIFF also say how its pixels lie in the file.
        if how["format"] != "TIFF" and len(exif := upright.getexif()):
            how["exif"] = exif
        quality: dict[str, dict[str, Any]] = {
            "JPEG": {"quality": 95, "subsampling": 0},
            "WEBP": {"lossless": True},
        }
        how |= quality.get(how["format"], {})
        if is_deep(upright):
            levels, top = deep_levels(upright)
        else:
            if upright.has_transparency_data:
                upright = upright.convert("RGBA")
                alpha = upright.getchannel("A")
            levels = np.asarray(upright.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))
        pixels = torch.from_numpy(np.array(levels, levels.dtype.newbyteorder("=")))
        return Picture(pixels[None] if pixels.dim() == 2 else pixels.movedim(-1, 0), top, alpha, how)
