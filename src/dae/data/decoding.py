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
from PIL import Image
from torch import Tensor

from dae.data.cache import ImageCache
from dae.data.folder import Listing
from dae.data.image_file import Made, NotAnImageError, flat_image
from dae.data.preprocessing import Preprocessing
from dae.data.stored import StoredImages
from dae.errors import UserError
from dae.words import counted, path_from_here, printable

log = logging.getLogger(__name__)

PIECE = 64
# The mark of a file that is no image; the others are what was made of the image.
UNREADABLE = 128
NAMED = 10  # so many bad files are named


@dataclass(frozen=True)
class Decoding(Preprocessing):
    """What is made of the files of a folder.

    Attributes:
        bad_images: ``error``, or ``skip``: files that are no image are left out.
    """

    bad_images: str = "error"

    def conversions(self, marks: Tensor) -> list[str]:
        """What was made of images with these marks, (N,) in uint8: a part of a sentence each."""
        words = {
            Made.SCALED: "of more than 8 bits scaled to 8",
            Made.OPAQUE: f"transparent laid on {self.background}",
            Made.TURNED: "turned upright as their EXIF says",
            Made.FIRST: "of several frames or pages, of which the first is used",
        }
        counts = {kind: int(((marks & kind.value) > 0).sum()) for kind in words}
        return [f"{count:,} {words[kind]}" for kind, count in counts.items() if count]


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
        (N, C, H, W) in uint8, a row for each file; and a mark for each, (N,) in uint8: ``UNREADABLE``, or
        what was made of it.

    Raises:
        UserError: A file is no image, or all are skipped; without ``in_memory``: the cache cannot be written.
    """
    part = listing.folder.name if listing.folder != root else "all"
    name = f"{part}_{how.image_size}_{how.channels}_{how.fit}_{how.background}"
    shape = (len(listing.files), how.channels, how.image_size, how.image_size)
    key = hashlib.sha256(f"{shape} {how} {listing.state}".encode()).hexdigest()[:16]
    cache = ImageCache(root, name, key, shape)
    stored = cache.find()
    marks = np.zeros(len(listing.files), np.uint8) if stored is None else cache.marks()
    if stored is None:
        obstacle = cache.writable()
        if obstacle is not None and not in_memory:
            raise UserError(
                f"data.in_memory=false reads decoded images from {cache.folder}, which cannot be written: "
                f"{obstacle}. Give that folder write permission, copy the images to where there is one "
                "(data.root=<folder>), or have all in memory: data.in_memory=true"
            )
        started = time.perf_counter()
        pieces = _watched(_decoded(listing, how, marks), len(listing.files))
        if obstacle is not None:
            log.warning("Images are decoded anew in each run: no cache can be written: %s", obstacle)
            images = torch.from_numpy(_joined(pieces, shape))
        else:
            stored = cache.write(pieces, marks)
        seconds = time.perf_counter() - started
        where = path_from_here(cache.path) if stored is not None else "memory"
        log.info("Decoded %s images in %.1f s into %s", f"{len(listing.files):,}", seconds, where)
    if (marks == UNREADABLE).all():
        files = counted(len(listing.files), "file")
        raise UserError(f"{listing.folder}: found {files}, none of which can be read as an image")
    if stored is not None:
        return (stored[:] if in_memory else stored), torch.from_numpy(marks)
    return images, torch.from_numpy(marks)


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


def _decoded(listing: Listing, how: Decoding, marks: np.ndarray) -> Iterator[np.ndarray]:
    """All images in their order, in pieces (n, C, H, W), never more than a few ahead.

    Threads, since Pillow decodes without the interpreter's lock: 1.8 times one core's speed on two cores for
    photographs, 1.2 times for tiny pictures. Processes have to start first, and do not win for 3,000 images.

    Args:
        listing: What to decode.
        how: What to make of each file.
        marks: Filled with the mark of each file, (N,) in uint8.

    Raises:
        UserError: Files are no images, and are not to be skipped; when all have been tried.
    """
    starts = range(0, len(listing.files), PIECE)
    workers = os.cpu_count() or 1
    waiting: deque[Future[np.ndarray]] = deque()
    reasons: dict[str, str] = {}
    with ThreadPoolExecutor(workers) as pool:
        for start in starts:
            part = slice(start, start + PIECE)
            files = listing.files[part]
            waiting.append(pool.submit(_decode, listing.folder, files, how, marks[part], reasons))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    if reasons and how.bad_images == "error":
        raise _all_bad(listing, reasons)


def _decode(
    folder: Path, files: list[str], how: Decoding, marks: np.ndarray, reasons: dict[str, str]
) -> np.ndarray:
    images = np.zeros((len(files), how.image_size, how.image_size, how.channels), np.uint8)
    for number, file in enumerate(files):
        try:
            flat, made = flat_image(folder / file, how.channels, how.background)
            images[number] = np.asarray(how.fitted(flat)).reshape(images.shape[1:])
            marks[number] = made.value
        except NotAnImageError as error:
            reasons[file] = str(error)
            marks[number] = UNREADABLE
    return np.ascontiguousarray(np.moveaxis(images, -1, 1))


def _all_bad(listing: Listing, reasons: dict[str, str]) -> UserError:
    """The error that counts the files that are no images, and names the first of them."""
    (first, why), *others = [(printable(file), reasons[file]) for file in listing.files if file in reasons]
    bad = f"{listing.folder / first} cannot be read as an image: {why}."
    if others:
        bad += f" So it is with {len(reasons):,} of {counted(len(listing.files), 'file')}."
    lines = [f"{bad} To leave such files out: data.bad_images=skip"]
    lines += [f"    {file}: {why}" for file, why in others[: NAMED - 1]]
    if len(reasons) > NAMED:
        lines.append(f"    and {len(reasons) - NAMED:,} more")
    return UserError("\n".join(lines))


def decode(path: Path, how: Decoding) -> Image.Image:
    """One image as it is trained on, grey or RGB.

    Raises:
        NotAnImageError: It is none, or not a whole one.
    """
    return how.fitted(how.flat(path))
