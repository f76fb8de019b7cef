"""Decoded images, kept in a file beside the data."""

from __future__ import annotations

import logging
import math
import os
import time
import uuid
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from dae.data.stored import StoredImages
from dae.errors import UserError
from dae.words import path_from_here

log = logging.getLogger(__name__)

# Hidden: neither a class nor a split of the folder of images that it lies in.
FOLDER = ".dae_cache"


class ImageCache:
    """One file of images: ``<root>/.dae_cache/<name>_<key>.npy``, whole or not there at all.

    Args:
        root: Folder of the data.
        name: What the images are; of one name the cache keeps one key.
        key: Hash of all that the images depend on.
        shape: (N, C, H, W).
    """

    def __init__(self, root: Path, name: str, key: str, shape: tuple[int, ...]) -> None:
        self.folder = root / FOLDER
        self.name = name
        self.path = self.folder / f"{name}_{key}.npy"
        self.shape = shape

    def find(self) -> StoredImages | None:
        """The images if the cache holds them."""
        if not self.path.exists():
            return None
        try:
            stored = StoredImages(self.path)
        except (OSError, ValueError) as error:
            log.warning("The cache of decoded images is of no use and is built anew: %s", error)
            return None
        return stored if stored.shape == self.shape else None

    def writable(self) -> OSError | None:
        """The error that keeps the cache from being written; None if it can be."""
        try:
            self.folder.mkdir(exist_ok=True)
            trial = self._temporary()
            trial.touch()
            trial.unlink()
        except OSError as error:
            return error
        return None

    def write(self, pieces: Iterable[np.ndarray]) -> StoredImages:
        """Write all images, whatever other processes do here, and forget older ones of the same name.

        Args:
            pieces: (n, C, H, W) each, N images in all.

        Raises:
            UserError: The file cannot be written.
        """
        temporary = self._temporary()
        header = {"descr": "|u1", "fortran_order": False, "shape": self.shape}
        try:
            with temporary.open("xb") as file:
                np.lib.format.write_array_header_1_0(file, header)
                for piece in pieces:
                    file.write(piece.data)
                file.flush()
                os.fsync(file.fileno())
            stored = StoredImages(temporary)
            temporary.replace(self.path)
        except OSError as error:
            size = f"{math.prod(self.shape) / 1e9:.1f} GB"
            raise UserError(
                f"{self.folder}: the decoded images, {size}, could not be written: {error}. "
                "Make room, or copy the images to where there is some: data.root=<folder>"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        self._forget()
        return stored

    def _temporary(self) -> Path:
        return self.folder / f".{self.name}_{uuid.uuid4().hex}.part"

    def _forget(self) -> None:
        stale = [file for file in self.folder.glob(f"{self.name}_*.npy") if file != self.path]
        # Of a killed process; a living one has just written to its own.
        hour_ago = time.time() - 3600
        stale += [f for f in self.folder.glob(f".{self.name}_*.part") if f.stat().st_mtime < hour_ago]
        for file in stale:
            file.unlink(missing_ok=True)
            log.info("Deleted %s: it was of other images", path_from_here(file))
