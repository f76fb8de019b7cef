"""Batches drawn by index from images in memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from dae.seeds import derive_seed
from dae.text import pluralize


class Batches:
    """Batches of inputs and their labels; a shuffled order comes from torch's state at each start.

    Args:
        inputs: (N, ...), images in uint8 or features, on the device that batches are wanted on.
        labels: (N,), on the same device.
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
        inputs: Tensor,
        labels: Tensor,
        batch_size: int,
        shuffle: bool,
        rank: int = 0,
        world_size: int = 1,
        least: int = 1,
    ) -> None:
        self.inputs, self.labels = inputs, labels
        self.shuffle = shuffle
        self.rank, self.world_size = rank, world_size
        self.count = len(labels) - len(labels) % world_size
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
        inputs, labels = self.inputs, self.labels
        if not self.shuffle:
            yield from zip(inputs.split(self.batch_size), labels.split(self.batch_size), strict=True)
            return
        orders = [torch.randperm(len(labels))[: self.count] for _ in range(self.passes)]
        if self.rank:
            # All processes have drawn the same orders. From here on each draws noise of its own.
            torch.manual_seed(derive_seed("rank", self.rank, torch.initial_seed()))
        for order in orders:
            for batch in order.to(labels.device).split(self.batch_size):
                chosen = batch[self.rank :: self.world_size]
                # A fifth of the time that inputs[chosen] takes on a CPU.
                yield inputs.index_select(0, chosen), labels.index_select(0, chosen)

    def steps_in_words(self, epochs: int, limit: int | float, accumulated: int) -> str:
        """``1,080 optimizer steps: 10 epochs of 108 (4 passes over 216 images in batches of 8)``.

        Args:
            epochs: Of the stage.
            limit: ``trainer.limit_train_batches``: a number of batches, or a share of them.
            accumulated: ``trainer.accumulate_grad_batches``: batches a step; an epoch ends with a step.
        """
        used = min(limit, len(self)) if isinstance(limit, int) else int(limit * len(self))
        steps = -(-used // accumulated)
        passes = f"{self.passes} passes over " if self.passes > 1 else ""
        words = f"{passes}{pluralize(self.count, 'image')} in batches of {self.batch_size}"
        if used < len(self):
            words += f", of which trainer.limit_train_batches={limit} leaves {used:,} of {len(self):,}"
        total = pluralize(epochs * steps, "optimizer step")
        return f"{total}: {pluralize(epochs, 'epoch')} of {steps:,} ({words})"
