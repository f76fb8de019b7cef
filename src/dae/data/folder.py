"""A folder of images: its files and classes, and its pixels, which are decoded once."""

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
from PIL import Image
from torch import Tensor

from dae.data.cache import ImageCache
from dae.data.stored import StoredImages
from dae.errors import UserError
from dae.words import path_from_here

log = logging.getLogger(__name__)

# To be raised by whoever changes what decoding makes of a file.
VERSION = 1
# Torchvision's list.
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
PIECE = 64


@dataclass(frozen=True)
class Listing:
    """The images in ``folder/<class>/**``: paths below the folder, sorted, and the class of each.

    ``state`` is a hash of the paths, sizes and times of change of all files.
    """

    folder: Path
    files: list[str]
    labels: list[int]
    classes: tuple[str, ...]
    state: str


def list_images(folder: Path) -> Listing:
    """Look at a folder; in the order of torchvision's ImageFolder, hidden folders left out.

    Raises:
        UserError: There are no classes, or one without images.
    """
    with os.scandir(folder) as entries:
        classes = sorted(entry.name for entry in entries if entry.is_dir() and entry.name[0] != ".")
    if not classes:
        raise UserError(f"{folder}: found no class folder, expected {folder}/<class>/*.png")
    files: list[str] = []
    labels: list[int] = []
    digest = hashlib.sha256()
    for label, name in enumerate(classes):
        for place, _, names in sorted(os.walk(folder / name, followlinks=True)):
            for file in sorted(name for name in names if name.lower().endswith(SUFFIXES)):
                path = os.path.join(place, file)  # noqa: PTH118 - a Path each would take seconds
                state = os.stat(path)  # noqa: PTH116
                files.append(os.path.relpath(path, folder))
                labels.append(label)
                digest.update(os.fsencode(files[-1]) + f"\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
        if not labels or labels[-1] != label:
            raise UserError(f"{folder / name}: found no image, expected files *{', *'.join(SUFFIXES)}")
    return Listing(folder, files, labels, tuple(classes), digest.hexdigest())


def read_images(
    listing: Listing, root: Path, image_size: int, channels: int, in_memory: bool
) -> Tensor | StoredImages:
    """The images of a listing, (N, C, H, W) in uint8, decoded once and kept in ``root``'s cache.

    Args:
        listing: What to decode.
        root: The listing's folder, or the one above it.
        image_size: H and W.
        channels: C.
        in_memory: Whether to read all of them now.

    Raises:
        UserError: A file is no image; without ``in_memory``: the cache cannot be written.
    """
    part = listing.folder.name if listing.folder != root else "all"
    shape = (len(listing.files), channels, image_size, image_size)
    key = hashlib.sha256(f"{VERSION} {shape} {listing.state}".encode()).hexdigest()[:16]
    cache = ImageCache(root, f"{part}_{image_size}_{channels}", key, shape)
    stored = cache.find()
    if stored is None:
        obstacle = cache.writable()
        if obstacle is not None and not in_memory:
            raise UserError(
                f"data.in_memory=false reads decoded images from {cache.folder}, which cannot be written: "
                f"{obstacle}. Give that folder write permission, copy the images to where there is one "
                "(data.root=<folder>), or have all in memory: data.in_memory=true"
            )
        started = time.perf_counter()
        pieces = _watched(_decoded(listing, image_size, channels), len(listing.files))
        if obstacle is not None:
            log.warning("Images are decoded anew in each run: no cache can be written: %s", obstacle)
            images = torch.from_numpy(_joined(pieces, shape))
        else:
            stored = cache.write(pieces)
        seconds = time.perf_counter() - started
        where = path_from_here(cache.path) if stored is not None else "memory"
        log.info("Decoded %s images in %.1f s into %s", f"{len(listing.files):,}", seconds, where)
    if stored is None:
        return images
    return stored[:] if in_memory else stored


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


def _decoded(listing: Listing, image_size: int, channels: int) -> Iterator[np.ndarray]:
    """All images in their order, in pieces (n, C, H, W), never more than a few ahead.

    Threads, since Pillow decodes without the interpreter's lock: 1.8 times one core's speed on two cores for
    photographs, 1.2 times for tiny pictures. Processes have to start first, and do not win for 3,000 images.
    """
    files = [listing.files[start : start + PIECE] for start in range(0, len(listing.files), PIECE)]
    workers = os.cpu_count() or 1
    waiting: deque[Future[np.ndarray]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for piece in files:
            waiting.append(pool.submit(_decode, listing.folder, piece, image_size, channels))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _decode(folder: Path, files: list[str], image_size: int, channels: int) -> np.ndarray:
    images = np.empty((len(files), image_size, image_size, channels), np.uint8)
    for image, file in zip(images, files, strict=True):
        try:
            with Image.open(folder / file) as opened:
                converted = opened.convert("L" if channels == 1 else "RGB")
        except OSError as error:
            raise UserError(f"{folder / file} cannot be read as an image: {error}") from error
        resized = converted.resize((image_size, image_size), Image.Resampling.BILINEAR)
        image[:] = np.asarray(resized).reshape(image.shape)
    return np.ascontiguousarray(np.moveaxis(images, -1, 1))
