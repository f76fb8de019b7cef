"""The pixels of many image files: decoded once, kept in a cache beside the data where that took a while."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import time
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dae.data.image_file import NotAnImageError, Preprocessing
from dae.files import atomic_path
from dae.text import path_from_here, pluralize

log = logging.getLogger(__name__)

# Hidden: neither a class nor a split of the folder of images that it lies in.
CACHE = ".dae_cache"
SLOW = 2.0  # seconds of decoding that are worth a file


@dataclass(frozen=True)
class Decoded:
    """What became of image files.

    Attributes:
        images: (N, C, S, S) in uint8, a row for each file; black where it is none.
        bad: File -> why it cannot be read as an image.
    """

    images: Tensor
    bad: dict[str, str]


def decode_files(root: Path, files: Sequence[str], how: Preprocessing, cache: Path) -> Decoded:
    """Decode files, or take them from the cache if they are there as they are now.

    Args:
        root: Where they lie.
        files: Their paths from there.
        how: What to make of each.
        cache: The folder that holds the cache's own.
    """
    name = f"{root.name}_{'_'.join(map(str, how.described().values()))}"
    kept = cache / CACHE / f"{name}_{_content_key(root, files)}.npz"
    if kept.is_file():
        try:
            with np.load(kept) as content:  # whose zip pieces have checksums
                return Decoded(torch.from_numpy(content["images"]), json.loads(str(content["bad"])))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            log.warning("%s cannot be read (%s): the images are decoded anew", path_from_here(kept), error)
    started = time.perf_counter()
    decoded = _decode(root, files, how)
    seconds = time.perf_counter() - started
    log.info("Decoded %s in %.1f s", pluralize(len(files), "image"), seconds)
    if seconds > SLOW:
        _write_cache(kept, name, decoded)
    return decoded


def _decode(root: Path, files: Sequence[str], how: Preprocessing) -> Decoded:
    from rich.progress import track

    shape = (len(files), how.image_size, how.image_size, how.channels)
    images, bad = np.zeros(shape, np.uint8), {}

    def decode(number: int) -> None:
        try:
            images[number] = np.asarray(how.read(root / files[number])).reshape(shape[1:])
        except NotAnImageError as error:
            bad[files[number]] = str(error)

    # Threads, since Pillow decodes without the interpreter's lock.
    with ThreadPoolExecutor() as pool:
        quiet = not sys.stdout.isatty()
        [*track(pool.map(decode, range(len(files))), "Decoding", len(files), transient=True, disable=quiet)]
    pixels = torch.from_numpy(images).movedim(-1, 1).contiguous()
    return Decoded(pixels, {file: bad[file] for file in files if file in bad})


def _content_key(root: Path, files: Sequence[str]) -> str:
    """A hash of names, sizes, times of change and inodes: of a swapped file one of them is another."""
    digest = hashlib.sha256()
    for file in files:
        state = (root / file).lstat()
        digest.update(
            f"{file}\0{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {state.st_ino}\n".encode()
        )
    return digest.hexdigest()[:16]


def _write_cache(path: Path, name: str, decoded: Decoded) -> None:
    """Write it whole, and forget what was of other images; a folder that cannot be written to is no error."""
    try:
        path.parent.mkdir(exist_ok=True)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            bad = np.array(json.dumps(decoded.bad))
            np.savez(file, images=decoded.images.numpy(), bad=bad)
        for stale in path.parent.glob(f"{name}_*.npz"):
            if stale != path:
                stale.unlink(missing_ok=True)
    except OSError as error:
        log.warning("Images are decoded anew in each run: no cache can be written: %s", error)
