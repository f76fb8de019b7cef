"""The LightningDataModule: splits, and batches drawn by index from memory."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt
from pytorch_lightning import LightningDataModule
from torch import Tensor

from dae.data.augment import shift_at_random
from dae.data.sources import SOURCES, ImageSet, Split, known_source
from dae.errors import ConfigError, Problem
from dae.seeds import derive_seed

# One size for every run, so that the reference noise is the same whatever ``data.batch_size`` is.
EVALUATION_BATCH_SIZE = 128


class Batches:
    """Batches of uint8 images and their labels; a shuffled order comes from torch's state at each start.

    Args:
        split: Ready to be drawn from.
        batch_size: Images a batch, in all processes together.
        shuffle: Whether each pass has an order of its own.
        rank: Of this process among those that share each batch.
        world_size: How many these are. So that all have the same number of images, up to ``world_size`` - 1
            of those that come last in the order are left out of the pass.
    """

    def __init__(
        self, split: Split, batch_size: int, shuffle: bool, rank: int = 0, world_size: int = 1
    ) -> None:
        self.split = split
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.rank = rank
        self.world_size = world_size
        self.count = len(split.labels) - len(split.labels) % world_size

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        images, labels = self.split.images, self.split.labels
        if self.shuffle:
            order = torch.randperm(len(labels))[: self.count]
            if self.rank:
                # All processes drew the same order; the same noise on each share would be too little of it.
                torch.manual_seed(derive_seed("rank", self.rank, torch.initial_seed()))
            for batch in order.to(labels.device).split(self.batch_size):
                chosen = batch[self.rank :: self.world_size]
                # A fifth of the time that images[chosen] takes on a CPU.
                yield images.index_select(0, chosen), labels.index_select(0, chosen)
        else:
            yield from zip(images.split(self.batch_size), labels.split(self.batch_size), strict=True)


def class_balanced(labels: Tensor, count: int, seed: int) -> Tensor:
    """Indices of ``count`` images, from each class as many as from the others where the class has them.

    A larger ``count`` of the same seed contains the smaller one.

    Args:
        labels: Class of each image, (N,).
        count: How many to draw, at most N.
        seed: What decides which ones.

    Returns:
        (count,), ascending.
    """
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(labels), generator=generator)
    ordered = labels[shuffled]
    # The turn of an image: how many of its class come before it. All first turns, then all second ones ...
    turns = torch.empty_like(ordered)
    for label in labels.unique():
        members = ordered == label
        turns[members] = torch.arange(int(members.sum()))
    by_turn = torch.argsort(turns, stable=True)
    return shuffled[by_turn[:count]].sort().values


class ImageDataModule(LightningDataModule):
    """Images in memory, split for both stages.

    The test set is the source's own. Validation is cut from its training images, the same from each class.

    Args:
        source: A name in ``sources.SOURCES``.
        root: Folder of the files.
        batch_size: Images a training step.
        validation: Held-out training images: a number, a share, or ``test``: the test set itself.
        split_seed: Seed of every choice of images.
        image_size: Side of the images in pixels; others are resized.
        channels: Grey or colour; others are converted.
        limit: Use only so many training images.
        labels: Use only so many labels in stage 2.
        in_memory: Put the whole set on the device; else read each batch from the source's file.
        augment: Shift training images at random by up to so many pixels each way.
    """

    def __init__(
        self,
        source: Annotated[str, AfterValidator(known_source)],
        root: Path,
        batch_size: PositiveInt,
        validation: PositiveInt | Annotated[float, Field(gt=0, lt=1)] | Literal["test"],
        split_seed: NonNegativeInt,
        image_size: PositiveInt,
        channels: Literal[1, 3],
        limit: PositiveInt | None = None,
        labels: PositiveInt | None = None,
        in_memory: bool = True,
        augment: NonNegativeInt = 0,
    ) -> None:
        super().__init__()
        self.source = source
        self.root = Path(root)
        self.batch_size = batch_size
        self.validation = validation
        self.split_seed = split_seed
        self.image_size = image_size
        self.channels = channels
        self.limit = limit
        self.labels = labels
        self.in_memory = in_memory
        self.augment = augment
        self.images: ImageSet | None = None

    def setup(self, stage: str | None = None) -> None:
        """Read and split, once.

        Raises:
            UserError: The images cannot be had.
            ConfigError: ``validation``, ``limit`` or ``labels`` do not fit the number of images.
        """
        if self.images is not None:
            return
        # rules.py admits it only for sources that know it.
        stay = {} if self.in_memory else {"in_memory": False}
        self.images = SOURCES[self.source](self.root, self.image_size, self.channels, **stay)
        self.classes = self.images.classes
        self.test = self.images.test
        self.train, self.val = self._split(self.images)

    def _split(self, images: ImageSet) -> tuple[Split, Split]:
        train, val = images.train, images.test
        if self.validation != "test":
            total = len(train.labels)
            held_out = self.validation if isinstance(self.validation, int) else round(self.validation * total)
            most = total - len(self.classes)
            if not len(self.classes) <= held_out <= most:
                what = f"{held_out} images held out of {total}, expected {len(self.classes)} to {most}"
                raise ConfigError([Problem("data.validation", what, "try data.validation=0.1")])
            chosen = class_balanced(train.labels, held_out, derive_seed("validation", self.split_seed))
            kept = torch.ones(total, dtype=torch.bool)
            kept[chosen] = False
            val, train = train.chosen(chosen), train.chosen(kept.nonzero().squeeze(1))
        if self.limit is not None:
            train = self._only(train, self.limit, "limit")
        return train, val

    def _only(self, split: Split, count: int, key: str) -> Split:
        if count > len(split.labels):
            what = f"found {count}, but {len(split.labels)} training images are left after validation"
            raise ConfigError([Problem(f"data.{key}", what, f"try data.{key}=null for all of them")])
        return split.chosen(class_balanced(split.labels, count, derive_seed("subset", self.split_seed)))

    def __str__(self) -> str:
        counts = f"{len(self.train.labels):,} to train on, {len(self.val.labels):,} to validate"
        if self.validation == "test":
            counts = f"{len(self.train.labels):,} to train on, validated on the test set"
        shape = f"{self.channels} x {self.image_size} x {self.image_size}"
        tested = f"{len(self.test.labels):,} to test"
        return f"{self.source}, {shape}, {len(self.classes)} classes: {counts}, {tested}"

    def absent(self) -> dict[str, list[str]]:
        """The classes that a split has no image of, where there are any."""
        splits = {"training": self.train, "validation": self.val, "test": self.test}
        found = {}
        for name, split in splits.items():
            present = set(split.labels.unique().tolist())
            found[name] = [str(word) for label, word in enumerate(self.classes) if label not in present]
        return {name: words for name, words in found.items() if words}

    def checksum(self) -> str:
        """SHA-256 of all images and labels, before any split."""
        assert self.images is not None
        return self.images.checksum()

    def labelled(self) -> ImageDataModule:
        """The same data, its training images cut down to those whose labels stage 2 may use."""
        view = copy.copy(self)
        if self.labels is not None:
            view.train = self._only(self.train, self.labels, "labels")
        return view

    def device(self) -> torch.device:
        """The device of the fit that uses the data, the CPU outside of a fit."""
        return self.trainer.strategy.root_device if self.trainer is not None else torch.device("cpu")

    def ready(self, split: Split) -> Split:
        """The split to draw batches from: moved to the device as a whole, or left in its file."""
        return split.to(self.device())

    def train_dataloader(self) -> Batches:
        """Training batches in a random order; the last one may be smaller."""
        trainer = self.trainer
        share = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
        return Batches(self.ready(self.train), self.batch_size, True, *share)

    def val_dataloader(self) -> Batches:
        """Validation batches in the order of the set; each process has all, so that the noise is the same."""
        return Batches(self.ready(self.val), EVALUATION_BATCH_SIZE, shuffle=False)

    def test_dataloader(self) -> Batches:
        """Test batches in the order of the set."""
        return Batches(self.ready(self.test), EVALUATION_BATCH_SIZE, shuffle=False)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a batch, which is mostly there already; Lightning's own way would search it for tensors."""
        images, labels = batch
        return images.to(device, non_blocking=True), labels.to(device, non_blocking=True)

    def on_after_batch_transfer(self, batch: Any, dataloader_index: int) -> Any:
        """Bytes to floats in [0, 1], on the device; training images moved."""
        images, labels = batch
        if self.augment and self.trainer is not None and self.trainer.training:
            images = shift_at_random(images, self.augment)
        return images.float().div_(255), labels
