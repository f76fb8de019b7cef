"""Batches drawn by index from images in memory, or from their file."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from dae.data.image_set import Split
from dae.seeds import derive_seed


class Batches:
    """Batches of uint8 images and their labels; a shuffled order comes from torch's state at each start.

    Args:
        split: Ready to be drawn from.
        batch_size: Images a batch, in all processes together; never more than there are.
        shuffle: Whether each pass has an order of its own.
        rank: Of this process among those that share each batch.
        world_size: How many these are. So that all have the same number of images, up to ``world_size`` - 1
            of those that come last in the order are left out of the pass.
        least: Batches that an epoch has at least: it makes as many whole passes as that takes.

    Attributes:
        count: Images of a pass.
        passes: How often an epoch passes over the images.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        shuffle: bool,
        rank: int = 0,
        world_size: int = 1,
        least: int = 1,
    ) -> None:
        self.split = split
        self.shuffle = shuffle
        self.rank = rank
        self.world_size = world_size
        self.count = len(split.labels) - len(split.labels) % world_size
        self.batch_size = max(1, min(batch_size, self.count))
        self.batches_a_pass = -(-self.count // self.batch_size)
        self.passes = -(-least // self.batches_a_pass) if self.count else 1

    def __len__(self) -> int:
        return self.passes * self.batches_a_pass

    def images_in(self, batches: int) -> int:
        """Images in so many batches of an epoch, counted from its start, in all processes together."""
        passes, rest = divmod(batches, self.batches_a_pass)
        return passes * self.count + min(rest * self.batch_size, self.count)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        images, labels = self.split.images, self.split.labels
        if not self.shuffle:
            yield from zip(images.split(self.batch_size), labels.split(self.batch_size), strict=True)
            return
        orders = [torch.randperm(len(labels))[: self.count] for _ in range(self.passes)]
        if self.rank:
            # All processes drew the same orders; the same noise on each share would be too little of it.
            torch.manual_seed(derive_seed("rank", self.rank, torch.initial_seed()))
        for order in orders:
            for batch in order.to(labels.device).split(self.batch_size):
                chosen = batch[self.rank :: self.world_size]
                # A fifth of the time that images[chosen] takes on a CPU.
                yield images.index_select(0, chosen), labels.index_select(0, chosen)
