"""Stage 2's data: what the frozen blocks make of the images, computed once."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, nn

from dae.data.images import EVALUATION_BATCH_SIZE, ImageDataModule
from dae.data.sources import Split


class FeatureDataModule(ImageDataModule):
    """The splits of another data module; its batches hold the output of ``frozen`` for their images.

    Frozen blocks cannot change, so their output is computed once, by the first loader that wants it, and
    kept on the device. Where it would take more than half of the free memory it is computed a batch at a
    time; in float32 the results are the same bit for bit.

    Args:
        data: Set up already.
        frozen: In evaluation mode and without gradients; where ``data`` puts its images.
    """

    def __init__(self, data: ImageDataModule, frozen: nn.Module) -> None:
        vars(self).update(vars(data))  # a view: the same splits, nothing is read or drawn again
        self.frozen = frozen
        self.computed: dict[int, Split] = {}

    def keeps_features(self) -> bool:
        """Whether the features of all splits fit into half of the free memory."""
        shape, dtype = self._shape()
        count = sum(len(split.labels) for split in (self.train, self.val, self.test))
        return count * shape.numel() * dtype.itemsize < free_memory(self.device()) / 2

    def ready(self, split: Split) -> Split:
        """The split with features for images, or as it is."""
        if not self.keeps_features():
            return super().ready(split)
        # With data.validation=test two loaders share one split.
        if id(split) not in self.computed:
            self.computed[id(split)] = Split(self._compute(super().ready(split).images), split.labels)
        return self.computed[id(split)]

    def on_after_batch_transfer(self, batch: Any, dataloader_index: int) -> Any:
        """Nothing to do for features; bytes become floats, and floats features."""
        inputs, labels = batch
        if inputs.dtype != torch.uint8:
            return batch
        images, _ = super().on_after_batch_transfer(batch, dataloader_index)
        return self._features(images), labels

    def _compute(self, images: Tensor) -> Tensor:
        shape, dtype = self._shape()
        features = torch.empty(len(images), *shape, dtype=dtype, device=images.device)
        # Larger batches would meet page faults on a CPU: 6 s instead of 1.5 for MNIST.
        size = EVALUATION_BATCH_SIZE
        for piece, part in zip(images.split(size), features.split(size), strict=True):
            part.copy_(self._features(piece.float().div_(255)))
        return features

    def _features(self, images: Tensor) -> Tensor:
        assert self.trainer is not None
        with torch.no_grad(), self.trainer.precision_plugin.forward_context():
            return self.frozen(images)

    def _shape(self) -> tuple[torch.Size, torch.dtype]:
        """Of the features of one image."""
        blank = torch.zeros(2, self.channels, self.image_size, self.image_size, device=self.device())
        features = self._features(blank)
        return features.shape[1:], features.dtype


def free_memory(device: torch.device) -> int:
    """Bytes that can still be had on the device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 4 * 2**30  # neither Linux nor CUDA says; enough for MNIST many times over
