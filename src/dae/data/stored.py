"""Images that stay in a ``.npy`` file until they are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dae.errors import UserError


class StoredImages:
    """Images (N, C, H, W) in uint8, with the few operations of a tensor that batches are drawn with.

    The file is held open, so that its images can be had even if another process deletes it. It is read by
    position: pages of a memory map would count as memory of the process once they are touched, up to the
    whole set after an epoch, and a page fault reads far more of a file than the one image.

    Args:
        path: Of the file, format version 1.0.
        more: Bytes that follow the images.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not a whole file of such images.
    """

    def __init__(self, path: Path, more: int = 0) -> None:
        self.path = path
        self.file = path.open("rb", buffering=0)
        if np.lib.format.read_magic(self.file) != (1, 0):
            raise ValueError(f"{path} is not of version 1.0 of its format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(self.file)
        self.offset = self.file.tell()
        self.image_shape = shape[1:]
        self.image_bytes = math.prod(self.image_shape)
        self.rows = torch.arange(shape[0])
        found = path.stat().st_size - self.offset - more
        if dtype != np.uint8 or found != shape[0] * self.image_bytes:
            raise ValueError(f"{path} has {found} bytes of {dtype}, its header says {shape} of uint8")

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""
        return len(self.rows), *self.image_shape

    def __len__(self) -> int:
        return len(self.rows)

    def chosen(self, indices: Tensor) -> StoredImages:
        """The images of these indices (N,), in this order; nothing is read yet."""
        view = object.__new__(StoredImages)
        vars(view).update(vars(self), rows=self.rows[indices])
        return view

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        """Read those images.

        Raises:
            UserError: The file has become shorter.
        """
        rows = self.rows[index].tolist()
        images = np.empty((len(rows), *self.image_shape), np.uint8)
        for image, row in zip(images, rows, strict=True):
            self.file.seek(self.offset + row * self.image_bytes)
            if self.file.readinto(image) != self.image_bytes:
                raise UserError(f"{self.path} was changed while it was read; start again to have it rebuilt")
        return torch.from_numpy(images)

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Read the images of these indices; ``dim`` is 0."""
        assert dim == 0
        return self[index]

    def split(self, size: int) -> Iterator[Tensor]:
        """Read all images in their order, so many at a time."""
        for start in range(0, len(self), size):
            yield self[start : start + size]
