"""The data of stage 2: the output of the frozen blocks for each image, computed once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dae.data.image_set import Split, bytes_to_floats
from dae.data.images import EVALUATION_BATCH_SIZE, ImageDataModule


class FeatureDataModule(ImageDataModule):
    """The splits of another data module; its batches hold the output of ``frozen`` for their images.

    Frozen blocks cannot change, so their output is computed once, by the first loader that wants it, and kept
    on the device. That of training images which ``data.augment`` moves is computed a batch at a time.

    Args:
        data: Set up already.
        frozen: In evaluation mode and without gradients; where ``data`` puts its images.
    """

    def __init__(self, data: ImageDataModule, frozen: nn.Module) -> None:
        vars(self).update(vars(data))  # a view: the same splits, nothing is read or drawn again
        self.frozen = frozen
        self.shape = torch.Size()
        self.computed: dict[int, Tensor] = {}

    def inputs(self, split: Split) -> Tensor:
        """A row of features for each image, or the images where their features are not kept."""
        images = super().inputs(split)
        if self.augment and split is self.train:
            return images
        # With data.validation=test two loaders share one split.
        if id(split) not in self.computed:
            # Larger batches would meet page faults on a CPU: 6 s instead of 1.5 for MNIST.
            pieces = [self._rows(piece) for piece in images.split(EVALUATION_BATCH_SIZE)]
            self.computed[id(split)] = torch.cat(pieces)
        return self.computed[id(split)]

    def on_after_batch_transfer(self, batch: Any, dataloader_index: int) -> Any:
        """Turn a batch of rows, or of images as bytes, into features."""
        inputs, labels = batch
        if inputs.dtype == torch.uint8:
            images, _ = super().on_after_batch_transfer(batch, dataloader_index)
            return self._features(images), labels
        if len(self.shape) < 2:
            return inputs, labels
        channels, *sides = self.shape
        return inputs.unflatten(1, [*sides, channels]).movedim(-1, 1), labels

    def _rows(self, images: Tensor) -> Tensor:
        """Channels last, as they lie: batches are drawn in half the time, and no layer reorders them."""
        features = self._features(bytes_to_floats(images))
        self.shape = features.shape[1:]
        return features.movedim(1, -1).flatten(1)

    def _features(self, images: Tensor) -> Tensor:
        with torch.no_grad():  # in float32, as all that is measured
            return self.frozen(images)
