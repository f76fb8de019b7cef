"""Decoded images and a mark for each, kept in a file beside the data."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import time
import uuid
from collections.abc import Iterable
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from dae.data.stored import StoredImages
from dae.errors import UserError
from dae.words import path_from_here

log = logging.getLogger(__name__)

# Hidden: neither a class nor a split of the folder of images that it lies in.
FOLDER = ".dae_cache"
DIGEST = 32  # bytes of SHA-256, the last ones of the file


class ImageCache:
    """One file of images: ``<root>/.dae_cache/<name>_<key>.npy``, whole or not there at all.

    Whoever reads the format finds the images; behind them come a byte for each, its mark, and a digest of all
    that stands before, and of the key. A file with another digest is never read.

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
        if not self.path.is_file():
            return None
        try:
            self._check()
            return StoredImages(self.path, self.shape[0] + DIGEST)
        except (OSError, ValueError) as error:
            log.warning("The cache of decoded images is of no use and is built anew: %s", error)
            return None

    def marks(self) -> np.ndarray:
        """The marks, (N,) in uint8, of images that have been found."""
        with self.path.open("rb") as file:
            file.seek(-self.shape[0] - DIGEST, os.SEEK_END)
            return np.frombuffer(bytearray(file.read(self.shape[0])), np.uint8)

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

    def write(self, pieces: Iterable[np.ndarray], marks: np.ndarray | None = None) -> StoredImages:
        """Write all images, whatever other processes do here, and forget older ones of the same name.

        Args:
            pieces: (n, C, H, W) each, N images in all.
            marks: (N,) in uint8, which are read when all pieces have come; all 0 if there are none.

        Raises:
            UserError: The file cannot be written.
        """
        temporary = self._temporary()
        marks = np.zeros(self.shape[0], np.uint8) if marks is None else marks
        header = {"descr": "|u1", "fortran_order": False, "shape": self.shape}
        try:
            with temporary.open("xb") as file:
                start = BytesIO()
                np.lib.format.write_array_header_1_0(start, header)
                digest = self._digest()
                for piece in chain([start.getbuffer()], (piece.data for piece in pieces)):
                    digest.update(piece)
                    file.write(piece)
                digest.update(marks.data)
                file.write(marks.data)
                file.write(digest.digest())
                file.flush()
                os.fsync(file.fileno())
            stored = StoredImages(temporary, len(marks) + DIGEST)
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

    def _check(self) -> None:
        digest, left = self._digest(), self.path.stat().st_size - DIGEST
        with self.path.open("rb") as file:
            while left > 0 and (piece := file.read(min(left, 2**20))):
                digest.update(piece)
                left -= len(piece)
            if digest.digest() != file.read(DIGEST):
                raise ValueError(f"{self.path} is damaged, or of other images")

    def _digest(self) -> Any:
        return hashlib.sha256(f"{self.path.name} {self.shape}".encode())

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
