"""One file of an image: opened with care, and made what is trained on: upright, opaque, 8 bits deep."""

from __future__ import annotations

import stat
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import IntFlag
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

# Whatever a file is called: Pillow would hand others to programs like Ghostscript.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM")
ORIENTATION = 0x0112  # in EXIF; 1 is upright
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Tags of a TIFF file.
BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339
WHITE_IS_ZERO, SIGNED = 0, 2
# Told as NotAnImageError, by name, instead.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class NotAnImageError(Exception):
    """A file cannot be read as an image; the argument says why, in words that follow the file's name."""


class Made(IntFlag):
    """What had to be made of a file."""

    SCALED = 1
    OPAQUE = 2
    TURNED = 4
    FIRST = 8


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """A file as an image whose pixels are not read yet.

    Raises:
        NotAnImageError: Whatever goes wrong here or inside of the block.
    """
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):  # to open a pipe might wait for ever
            raise NotAnImageError("it is no regular file")
        if not state.st_size:
            raise NotAnImageError("it is empty")
        with Image.open(path, formats=FORMATS) as image:
            if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
                size = f"{image.width:,} x {image.height:,} pixels"
                raise NotAnImageError(
                    f"its {size} are more than the {Image.MAX_IMAGE_PIXELS:,} that are safe to read"
                )
            yield image
    except NotAnImageError:
        raise
    except UnidentifiedImageError as error:
        raise NotAnImageError(f"cannot identify an image of {', '.join(FORMATS)}") from error
    except OSError as error:
        raise NotAnImageError(error.strerror or str(error)) from error
    except Exception as error:  # Pillow lets through whatever its readers meet in a damaged file
        raise NotAnImageError(str(error) or type(error).__name__) from error


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height in pixels as ``upright`` will find them; the pixels are not read."""
    # A PNG's own method would read them.
    turned = Image.Image.getexif(image).get(ORIENTATION, 1) in range(5, 9) and image.format != "TIFF"
    return (image.height, image.width) if turned else image.size


def has_transparency(image: Image.Image) -> bool:
    """Whether an opened image has an alpha channel, or names a colour that is transparent."""
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info


def flat_image(path: Path, channels: int, background: str) -> tuple[Image.Image, Made]:
    """``flattened`` of the image in a file.

    Raises:
        NotAnImageError: It is none, not a whole one, or its levels have no range that is known.
    """
    with opened(path) as image:
        return flattened(image, channels, background, level_depth(path, image))


def flattened(
    image: Image.Image, channels: int, background: str, depth: int | None = None
) -> tuple[Image.Image, Made]:
    """The image, the first if there are several: grey or RGB, upright, laid over one colour.

    Grey levels of more than 8 bits are scaled by their own range; colours of 16 bits lose the lower 8.

    Args:
        image: As Pillow has opened or made it.
        channels: 1 grey, 3 colour.
        background: The colour that lies under transparency.
        depth: The bits of its levels in its file; None where Pillow itself knows.

    Raises:
        NotAnImageError: Its levels have no range that is known.
    """
    made = Made.FIRST if getattr(image, "is_animated", False) else Made(0)
    depth = _tags(image).get(BITS, (8,))[0] if depth is None else depth
    if image.getexif().get(ORIENTATION, 1) in UPRIGHT:
        made |= Made.TURNED
    image.load()  # Pillow turns a TIFF here, and says so by taking the tag away
    turn = UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    if has_transparency(image):
        made |= Made.OPAQUE
    flat = image
    if depth > 8 or is_deep(image):
        made |= Made.SCALED
    if is_deep(image):
        flat = _scaled(image)
    else:
        settle_levels(image, depth)
    if has_transparency(flat):
        flat = _on_ground(flat, background)
    if flat.mode not in ("1", "L"):
        flat = flat.convert("RGB")  # from which any mode can be made grey
    flat = flat.convert("L" if channels == 1 else "RGB")
    return (flat if turn is None else flat.transpose(turn)), made


def is_deep(image: Image.Image) -> bool:
    """Whether Pillow has kept levels of more than 8 bits: of grey alone."""
    return image.mode[0] in "IF"


def settle_levels(image: Image.Image, depth: int) -> None:
    """Bring what an image of 8 bits says of its levels to what Pillow has made of them.

    Args:
        image: As Pillow has read it, its pixels too.
        depth: The bits of its levels in its file.

    Raises:
        NotAnImageError: Pillow has made nothing of them that shows an image.
    """
    if _tags(image).get(SAMPLE_FORMAT, (1,))[0] == SIGNED and np.asarray(image).max() > 127:
        raise NotAnImageError("some of its levels are below 0, expected 0 to 127: scale them")
    elif depth > 8 and np.asarray(image.convert("RGB")).max() < 3:
        raise NotAnImageError(
            f"its levels of {depth} bits are too low for 8: scale them to their whole range"
        )
    elif "transparency" in image.info and image.format == "PNG" and depth != 8:
        _rescale_key(image, depth)


def deep_levels(image: Image.Image) -> tuple[np.ndarray, int]:
    """The grey levels of 16 or 32 bits, (H, W), and the one that is white; 0 is black.

    The range is the 0 to 1 of floats and the 0 to 65,535 of 16 bits. Integers of 32 bits do not say theirs.
    Where they are written they hold levels of 16 bits, as a rule, and are taken for that if they fit.

    Raises:
        NotAnImageError: They are no levels of that range.
    """
    tags = _tags(image)
    bits, signed = tags.get(BITS, (0,))[0], tags.get(SAMPLE_FORMAT, (1,))[0] == SIGNED
    top = 1 if image.mode == "F" else {(12, False): 4095, (16, True): 32767}.get((bits, signed), 65535)
    levels = np.asarray(image)
    low, high = levels.min(), levels.max()
    if not 0 <= low <= high <= top:  # NaN neither
        raise NotAnImageError(
            f"its levels are {low:g} to {high:g}, expected 0 to {top:,}: scale them, or save it in 16 bits"
        )
    # Pillow does so in 8 bits alone.
    return (top - levels if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else levels), top


def deep_alpha(image: Image.Image) -> Image.Image:
    """The alpha channel of one that names a level of more than 8 bits as transparent."""
    return Image.fromarray((np.asarray(image) != image.info["transparency"]).astype(np.uint8) * 255)


def _scaled(image: Image.Image) -> Image.Image:
    """Grey levels of 16 or 32 bits as 8, or 8 and alpha if it names a level that is transparent."""
    levels, top = deep_levels(image)
    scaled = np.rint(levels * (255 / top)).astype(np.uint8)
    if len(np.unique(scaled)) <= 2 < len(np.unique(levels)):
        found = f"{levels.min():g} to {levels.max():g} of {top:,}"
        raise NotAnImageError(f"its levels, {found}, would become two: scale them to the whole range")
    flat = Image.fromarray(scaled)
    if "transparency" in image.info:
        flat.putalpha(deep_alpha(image))
    return flat


def _tags(image: Image.Image) -> Mapping[int, Any]:
    """The tags of a TIFF file; none if it is another."""
    return getattr(image, "tag_v2", {})


def _rescale_key(image: Image.Image, depth: int) -> None:
    """Bring the colour that a PNG names as transparent to the 8 bits that its pixels have been brought to."""
    key = image.info["transparency"]
    if image.mode == "L":
        image.info["transparency"] = key * 255 // (2**depth - 1)
    elif image.mode == "RGB":
        image.info["transparency"] = tuple(level >> 8 for level in key)


def _on_ground(image: Image.Image, colour: str) -> Image.Image:
    """The image, RGBA, laid over a ground of one colour."""
    layer = image.convert("RGBA")
    ground = Image.new("RGBA", layer.size, colour)
    ground.alpha_composite(layer)
    return ground


def level_depth(path: Path, image: Image.Image) -> int:
    """The bits of the levels in a file; 8 where there are fewer, or nothing says how many.

    Raises:
        NotAnImageError: It is a PNG that is damaged.
    """
    if image.format == "PNG":
        return _depth_of_whole_png(path)
    if image.format == "PPM" and isinstance(image, ImageFile.ImageFile):
        decoder = image.tile[0][3]
        return int(decoder[1]).bit_length() if isinstance(decoder, tuple) and len(decoder) == 2 else 8
    return _tags(image).get(BITS, (8,))[0]


def _depth_of_whole_png(path: Path) -> int:
    """The bits of a PNG's levels, as they are in the file.

    Raises:
        NotAnImageError: A checksum is wrong, or the end is missing. Pillow passes over those of the pixels.
    """
    content = memoryview(path.read_bytes())
    place = 8
    while place < len(content):
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        if zlib.crc32(content[place + 4 : end - 4]) != int.from_bytes(content[end - 4 : end], "big"):
            raise NotAnImageError("it is damaged or cut: a checksum in it is wrong")
        if content[place + 4 : place + 8] == b"IEND":
            return content[24]
        place = end
    raise NotAnImageError("it is cut: its end is missing")
