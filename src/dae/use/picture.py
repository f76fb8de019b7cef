"""An image file that becomes another of its kind: its pixels, and what else goes over to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile, get_sampling
from PIL.PngImagePlugin import PngImageFile, PngInfo
from torch import Tensor

from dae.data.image_file import ORIENTATION, deep_levels, is_deep, opened

EXIF_FOLDER, GPS_FOLDER = 0x8769, 0x8825
# What the tags of a TIFF tell of its picture (who, when, with what, for which size of print, IPTC, XMP,
# Photoshop's, EXIF, GPS); the others tell how its pixels lie in the file.
TELLING = {
    270,
    271,
    272,
    282,
    283,
    296,
    305,
    306,
    315,
    316,
    700,
    33432,
    33723,
    34377,
    EXIF_FOLDER,
    GPS_FOLDER,
}
LOSSLESS = ("raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "lzma", "zstd")
# By the space that a profile says it is for.
PROFILES = {1: b"GRAY", 3: b"RGB "}
XMP = "XML:com.adobe.xmp"  # as the text of a PNG


@dataclass(frozen=True, eq=False)
class Picture:
    """The image in a file, upright.

    Attributes:
        levels: (C, H, W): grey or RGB of uint8, or grey of uint16, int32 or float32.
        top: The level that is white; black is 0.
        alpha: Its transparency, if it has any.
        lost: What the file that is made of it will lack, in words that follow "of 3 images:".
        how: What Pillow writes it with: format, metadata, compression.
    """

    levels: Tensor
    top: float
    alpha: Image.Image | None
    lost: tuple[str, ...]
    how: dict[str, Any]

    def write(self, path: Path, levels: Tensor) -> None:
        """Write other levels of the same shape and type, with all else of this one.

        Raises:
            OSError: The file cannot be written.
        """
        image = Image.fromarray(levels.movedim(0, -1).squeeze(-1).numpy())
        if self.alpha is not None:
            if self.how["format"] == "GIF":  # which would leave it out beside grey
                image = image.convert("RGB")
            image.putalpha(self.alpha)
        image.save(path, **self.how)


def read_picture(path: Path) -> Picture:
    """The first image in a file.

    Raises:
        NotAnImageError: There is none, not a whole one, or its levels have no range that is known.
    """
    with opened(path) as image:
        exif = image.getexif()
        for folder in (EXIF_FOLDER, GPS_FOLDER):
            exif.get_ifd(folder)  # now: Pillow closes a TIFF when it has read its pixels
        ImageOps.exif_transpose(image, in_place=True)
        top, alpha = 255, None
        if is_deep(image):
            levels, top = deep_levels(image)
        else:
            mode, flat = "L" if image.mode in ("1", "L", "LA") else "RGB", image
            if image.has_transparency_data:
                flat = image.convert("RGBA")
                alpha = flat.getchannel("A")
            levels = np.asarray(flat.convert(mode))
        pixels = torch.from_numpy(np.array(levels, levels.dtype.newbyteorder("=")))
        pixels = pixels[None] if pixels.dim() == 2 else pixels.movedim(-1, 0)
        how = {**_compression(path, image), **_metadata(image, exif, len(pixels))}
        return Picture(pixels, top, alpha, tuple(_losses(image, exif, how)), how)


def _losses(image: Image.Image, exif: Image.Exif, how: dict[str, Any]) -> Iterator[str]:
    if getattr(image, "is_animated", False):
        yield "the first of the pictures in it is written, the others are left out"
    if image.mode == "CMYK":
        yield "its colours for print (CMYK) are written as RGB"
    if how["format"] == "GIF":
        yield "its colours are written as a palette of 256"
    if "icc_profile" in image.info and "icc_profile" not in how:
        yield "its ICC profile, for other colours than are written, is left out"
    if how["format"] == "BMP" and image.has_transparency_data:
        yield "its transparency is left out, which is not written in BMP"
    if len(exif) and "exif" not in how:
        yield "its EXIF, which cannot be read to its end, is left out"


def _compression(path: Path, image: Image.Image) -> dict[str, Any]:
    """How the file was written: its format, and how much its pixels were compressed."""
    if isinstance(image, JpegImageFile):  # several in a file, of which the first counts, have another format
        tables = {"qtables": image.quantization, "subsampling": get_sampling(image)}
        return {"format": "JPEG", "progressive": "progressive" in image.info, **tables}
    if image.format == "WEBP":
        return {"format": "WEBP", "lossless": b"VP8L" in path.read_bytes(), "quality": 95}
    if image.format == "TIFF":
        used = image.info.get("compression")
        return {"format": "TIFF", "compression": used if used in LOSSLESS else "tiff_adobe_deflate"}
    return {"format": image.format}


def _metadata(image: Image.Image, exif: Image.Exif, channels: int) -> dict[str, Any]:
    """What Pillow writes besides; the small picture in EXIF, which would show the old one, is not."""
    info = image.info
    kept: dict[str, Any] = {name: info[name] for name in ("dpi", "comment", "xmp") if name in info}
    if image.format == "TIFF":  # its own tags know of units besides the inch
        kept.pop("dpi", None)
    profile = info.get("icc_profile") or b""
    if profile[16:20] == PROFILES[channels]:
        kept["icc_profile"] = profile
    exif.pop(ORIENTATION, None)
    for tag in set(exif) - TELLING if image.format == "TIFF" else ():
        del exif[tag]
    if _can_be_written(exif):
        kept["exif"] = exif
    if isinstance(image, PngImageFile):
        kept["pnginfo"] = texts = PngInfo()
        for name in image.text:
            if name == XMP:
                texts.add_itxt(name, info[name])
            elif not name.startswith("Raw profile type "):  # EXIF, or what Pillow does not read
                texts.add_text(name, info[name])
    return kept


def _can_be_written(exif: Image.Exif) -> bool:
    """Whether there is anything to write, and no tag is damaged; what cannot be is told as lost."""
    try:
        return len(exif) > 0 and len(exif.tobytes()) > 0
    except Exception:  # whatever Pillow meets in damaged tags
        return False
