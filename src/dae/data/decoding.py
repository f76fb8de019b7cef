"""The pixels of a folder of images: decoded and fitted once, kept in a cache."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from dae.data.cache import ImageCache
from dae.data.folder import Listing
from dae.data.stored import StoredImages
from dae.errors import UserError
from dae.words import counted, path_from_here

log = logging.getLogger(__name__)

# To be raised by whoever changes what decoding makes of a file.
VERSION = 2
PIECE = 64
# All that Pillow raises for a file that is no whole image.
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Decoding:
    """What is made of a file.

    Attributes:
        image_size: Side in pixels.
        channels: 1 grey, 3 colour.
        fit: Of images that are not square: ``pad``, ``crop`` or ``stretch``.
        background: What ``pad`` adds and what lies under transparency: ``white`` or ``black``.
        bad_images: ``error``, or ``skip``: files that are no image are left out.
    """

    image_size: int
    channels: int
    fit: str = "pad"
    background: str = "white"
    bad_images: str = "error"


def read_images(
    listing: Listing, root: Path, how: Decoding, in_memory: bool
) -> tuple[Tensor | StoredImages, Tensor]:
    """The images of a listing, decoded once and kept in ``root``'s cache.

    Args:
        listing: What to decode.
        root: The listing's folder, or the one above it.
        how: What to make of each file.
        in_memory: Whether to read all of them now.

    Returns:
        (N, C, H, W) in uint8, a row for each file; and which rows are images, (N,) in bool: all, unless files
        are skipped.

    Raises:
        UserError: A file is no image, or all are skipped; without ``in_memory``: the cache cannot be written.
    """
    part = listing.folder.name if listing.folder != root else "all"
    name = f"{part}_{how.image_size}_{how.channels}_{how.fit}_{how.background}"
    shape = (len(listing.files), how.channels, how.image_size, how.image_size)
    key = hashlib.sha256(f"{VERSION} {shape} {how} {listing.state}".encode()).hexdigest()[:16]
    cache = ImageCache(root, name, key, shape)
    # A byte for each file, where files may be skipped.
    marks = ImageCache(root, f"readable_{name}", key, (len(listing.files), 1))
    skipping = how.bad_images == "skip"
    stored, marked = cache.find(), marks.find() if skipping else None
    readable = torch.ones(len(listing.files), dtype=torch.bool)
    if marked is not None:
        readable = marked[:].squeeze(1).bool()
    if stored is None or (skipping and marked is None):
        obstacle = cache.writable()
        if obstacle is not None and not in_memory:
            raise UserError(
                f"data.in_memory=false reads decoded images from {cache.folder}, which cannot be written: "
                f"{obstacle}. Give that folder write permission, copy the images to where there is one "
                "(data.root=<folder>), or have all in memory: data.in_memory=true"
            )
        started = time.perf_counter()
        pieces = _watched(_decoded(listing, how, readable), len(listing.files))
        if obstacle is not None:
            log.warning("Images are decoded anew in each run: no cache can be written: %s", obstacle)
            images = torch.from_numpy(_joined(pieces, shape))
        else:
            stored = cache.write(pieces)
            if skipping:
                marks.write([readable.numpy().astype(np.uint8)[:, None]])
        seconds = time.perf_counter() - started
        where = path_from_here(cache.path) if stored is not None else "memory"
        log.info("Decoded %s images in %.1f s into %s", f"{len(listing.files):,}", seconds, where)
    if not readable.any():
        files = counted(len(listing.files), "file")
        raise UserError(f"{listing.folder}: found {files}, none of which can be read as an image")
    if stored is not None:
        return (stored[:] if in_memory else stored), readable
    return images, readable


def _joined(pieces: Iterator[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    images, filled = np.empty(shape, np.uint8), 0
    for piece in pieces:
        images[filled : filled + len(piece)] = piece
        filled += len(piece)
    return images


def _watched(pieces: Iterator[np.ndarray], total: int) -> Iterator[np.ndarray]:
    """The pieces, with a progress bar on a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(), transient=True, disable=not sys.stdout.isatty()) as bar:
        task = bar.add_task("Decoding images", total=total)
        for piece in pieces:
            yield piece
            bar.advance(task, len(piece))


def _decoded(listing: Listing, how: Decoding, readable: Tensor) -> Iterator[np.ndarray]:
    """All images in their order, in pieces (n, C, H, W), never more than a few ahead.

    Threads, since Pillow decodes without the interpreter's lock: 1.8 times one core's speed on two cores for
    photographs, 1.2 times for tiny pictures. Processes have to start first, and do not win for 3,000 images.

    Args:
        listing: What to decode.
        how: What to make of each file.
        readable: Filled with which of them are images, (N,) in bool.
    """
    starts = range(0, len(listing.files), PIECE)
    workers = os.cpu_count() or 1
    waiting: deque[Future[np.ndarray]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for start in starts:
            part = slice(start, start + PIECE)
            waiting.append(pool.submit(_decode, listing.folder, listing.files[part], how, readable[part]))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _decode(folder: Path, files: list[str], how: Decoding, readable: Tensor) -> np.ndarray:
    images = np.zeros((len(files), how.image_size, how.image_size, how.channels), np.uint8)
    for number, file in enumerate(files):
        try:
            images[number] = np.asarray(decode(folder / file, how)).reshape(images.shape[1:])
        except UNREADABLE as error:
            if how.bad_images == "error":
                raise UserError(
                    f"{folder / file} cannot be read as an image: {error}. "
                    "To leave such files out: data.bad_images=skip"
                ) from error
            readable[number] = False
    return np.ascontiguousarray(np.moveaxis(images, -1, 1))


def decode(path: Path, how: Decoding) -> Image.Image:
    """One image as it is trained on, grey or RGB.

    Raises:
        UNREADABLE: It is no image, or not a whole one.
    """
    with Image.open(path) as opened:
        image = on_ground(opened, how.background) if has_transparency(opened) else opened
        image = image.convert("L" if how.channels == 1 else "RGB")
    size = (how.image_size, how.image_size)
    if how.fit == "crop":
        return ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    if how.fit == "stretch":
        return image.resize(size, Image.Resampling.BILINEAR)
    sides = [max(1, round(side * how.image_size / max(image.size))) for side in image.size]
    whole = image.resize((sides[0], sides[1]), Image.Resampling.BILINEAR)
    padded = Image.new(image.mode, size, how.background)
    padded.paste(whole, ((size[0] - sides[0]) // 2, (size[1] - sides[1]) // 2))
    return padded


def has_transparency(image: Image.Image) -> bool:
    """Whether an opened image has an alpha channel, or names a colour that is transparent."""
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info


def on_ground(image: Image.Image, colour: str) -> Image.Image:
    """The image, RGBA, laid over a ground of one colour."""
    layer = image.convert("RGBA")
    ground = Image.new("RGBA", layer.size, colour)
    ground.alpha_composite(layer)
    return ground
