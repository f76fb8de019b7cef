"""The data of stage 2: the output of the frozen blocks for each image, computed once."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dae.data.image_set import Split
from dae.data.images import EVALUATION_BATCH_SIZE, ImageDataModule
from dae.data.shelf import shelved

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layout:
    """How the features of one image lie in memory: channels last, as a rule.

    Attributes:
        shape: (C, H, W), or whatever the frozen blocks end in.
        order: Its dimensions, the one with the longest stride first.
        dtype: Of the numbers.
    """

    shape: torch.Size
    order: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, features: Tensor) -> Layout:
        """The layout of features (N, *shape)."""
        strides = features.stride()[1:]
        order = sorted(range(len(strides)), key=lambda dimension: -strides[dimension])
        return cls(features.shape[1:], tuple(order), features.dtype)

    def rows(self, features: Tensor) -> Tensor:
        """(N, *shape) to (N, numbers): as they lie, so that nothing is moved, or copied into that order."""
        return features.permute(0, *(dimension + 1 for dimension in self.order)).flatten(1)

    def features(self, rows: Tensor) -> Tensor:
        """A view of rows (N, numbers) as features (N, *shape)."""
        sides = [self.shape[dimension] for dimension in self.order]
        places = sorted(range(len(self.order)), key=self.order.__getitem__)
        return rows.unflatten(1, sides).permute(0, *(place + 1 for place in places))


class FeatureDataModule(ImageDataModule):
    """The splits of another data module; its batches hold the output of ``frozen`` for their images.

    Frozen blocks cannot change, so their output is computed once, by the first loader that wants it, and
    kept on the device. Where it would take more than half of the free memory, or the images themselves are
    not in memory, it is computed a batch at a time; in float32 the results are the same bit for bit. So it
    is for training images that ``data.augment`` moves.

    Args:
        data: Set up already.
        frozen: In evaluation mode and without gradients; where ``data`` puts its images.
        content: A hash of its weights and buffers, by which a later job finds these features again.
    """

    def __init__(self, data: ImageDataModule, frozen: nn.Module, content: str) -> None:
        vars(self).update(vars(data))  # a view: the same splits, nothing is read or drawn again
        self.frozen = frozen
        self.content = content
        self.computed: dict[int, Split] = {}

    @cached_property
    def kept(self) -> bool:
        """Whether the features of images that stay as they are fit into half of the free memory."""
        if not self.in_memory:
            log.info("Features of the frozen blocks are computed anew for each batch: data.in_memory=false")
            return False
        if self.augment:
            log.info("Features of training images are computed anew for each batch: data.augment moves them")
        splits = (self.val, self.test) if self.augment else (self.train, self.val, self.test)
        count = sum(len(split.labels) for split in splits)
        numbers = count * self.layout.shape.numel()
        needed, free = numbers * self.layout.dtype.itemsize, free_memory(self.device())
        if needed < free / 2:
            return True
        sizes = f"{needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
        log.info("Features of the frozen blocks are computed anew for each batch: all take %s", sizes)
        return False

    @cached_property
    def layout(self) -> Layout:
        """The layout of the features, found by computing those of two blank images."""
        blank = torch.zeros(2, self.channels, self.image_size, self.image_size, device=self.device())
        return Layout.of(self._features(blank))

    def ready(self, split: Split) -> Split:
        """The split with features instead of images, or with images where features are not kept."""
        moving = self.augment and split is self.train
        if moving or not self.kept:
            return super().ready(split)
        # With data.validation=test two loaders share one split.
        if id(split) not in self.computed:
            # The split stays on the shelf with its features, so that no other one can have its identity.
            entry = shelved(
                (id(split), *self.origin),
                lambda: (split, self._compute(split)),
                lambda entry: entry[1].nbytes,
            )
            self.computed[id(split)] = entry[1]
        return self.computed[id(split)]

    def on_after_batch_transfer(self, batch: Any, dataloader_index: int) -> Any:
        """Turn a batch of kept rows, or of images as bytes, into features."""
        inputs, labels = batch
        if inputs.dtype != torch.uint8:
            return self.layout.features(inputs), labels
        images, _ = super().on_after_batch_transfer(batch, dataloader_index)
        return self._features(images), labels

    @cached_property
    def origin(self) -> tuple[str, ...]:
        """All that the features of an image depend on besides the image."""
        return self.content, repr(self.frozen), str(self.device())

    def _compute(self, split: Split) -> Split:
        placed = super().ready(split)
        images = placed.images
        assert isinstance(images, Tensor)
        # One row an image: batches are drawn from them in half the time, and no layer has to reorder them.
        numbers = self.layout.shape.numel()
        rows = torch.empty(len(images), numbers, dtype=self.layout.dtype, device=images.device)
        # Larger batches would meet page faults on a CPU: 6 s instead of 1.5 for MNIST.
        size = EVALUATION_BATCH_SIZE
        for piece, part in zip(images.split(size), rows.split(size), strict=True):
            part.copy_(self.layout.rows(self._features(piece.float().div_(255))))
        return Split(rows, placed.labels)

    def _features(self, images: Tensor) -> Tensor:
        with torch.no_grad():  # in float32, as all that is measured
            return self.frozen(images)


def free_memory(device: torch.device) -> int:
    """Bytes of memory that are free on the device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return 4 * 2**30  # other systems do not say as simply; enough for MNIST many times over
    values = dict(line.split(":") for line in meminfo.read_text(encoding="utf-8").splitlines())
    return int(values["MemAvailable"].split()[0]) * 1024
