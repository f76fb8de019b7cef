"""The LightningDataModule: what is trained on, validated on and tested on, and which labels may be used."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt, PositiveInt
from pytorch_lightning import LightningDataModule
from torch import Tensor, nn

from dae.data.batches import Batches
from dae.data.image_file import Preprocessing
from dae.data.image_set import ImageSet, Split, bytes_to_floats, class_balanced, class_shares, from_each_class
from dae.errors import ConfigError, Problem, UserError
from dae.seeds import derive_seed

log = logging.getLogger(__name__)

# One size for every run, so that the reference noise is the same whatever ``data.batch_size`` is.
EVALUATION_BATCH_SIZE = 128
PER_CLASS = "/class"
LabelsPerClass = Annotated[str, Field(pattern=rf"^[1-9]\d{{0,8}}{PER_CLASS}$")]


class ImageDataModule(LightningDataModule):
    """Images in memory, split for both stages.

    The test set is the source's own. Validation is cut from its training images, from each class its share.

    Args:
        source: A function of (root, image_size, channels), such as those of ``sources``.
        root: Folder of the files.
        batch_size: Images a training step.
        validation: Held-out training images: a number, a share; or ``test``: the test set itself; or ``val``:
            the validation images that the source has of its own.
        split_seed: Seed of every choice of images.
        image_size: Side of the images in pixels; others are resized.
        channels: Grey or colour; others are converted.
        limit: Use only so many training images.
        labels: Use only so many labels in stage 2, or at most so many of each class: ``10/class``.
        labels_seed: Seed of the choice of those labels.
        least_steps: Batches that an epoch has at least, by more passes over the images where they are few.
        augment: Shift training images at random by up to so many pixels each way.
    """

    background: Literal["white", "black"] = "black"

    def __init__(
        self,
        source: Callable[..., ImageSet],
        root: Path,
        batch_size: PositiveInt,
        validation: PositiveInt | Annotated[float, Field(gt=0, lt=1)] | Literal["test", "val"],
        split_seed: NonNegativeInt,
        image_size: PositiveInt,
        channels: Literal[1, 3],
        limit: PositiveInt | None = None,
        labels: PositiveInt | LabelsPerClass | None = None,
        labels_seed: NonNegativeInt = 0,
        least_steps: Annotated[int, Field(gt=0, le=1_000_000)] = 1,
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
        self.labels_seed = labels_seed
        self.least_steps = least_steps
        self.augment = augment
        self.images: ImageSet | None = None

    @property
    def source_name(self) -> str:
        """Of the source: a function of ours by its own name, another with its package."""
        function: Any = getattr(self.source, "func", self.source)
        ours = function.__module__.startswith("dae.")
        return function.__name__ if ours else f"{function.__module__}.{function.__name__}"

    def read(self) -> ImageSet:
        """The images of the source."""
        return self.source(self.root, self.image_size, self.channels)

    def setup(self, stage: str | None = None) -> None:
        """Read and split, once.

        Raises:
            UserError: The images cannot be had.
            ConfigError: ``validation``, ``limit`` or ``labels`` do not fit the number of images.
        """
        if self.images is not None:
            return
        images = self.images = self.read()
        shape, wanted = (
            tuple(images.train.images.shape[1:]),
            (self.channels, self.image_size, self.image_size),
        )
        if shape != wanted:
            way = "Split.fitted(image_size, channels) brings images to that size"
            raise UserError(f"{self.source_name} gives images of {shape}, expected {wanted}; {way}")
        for line in images.warnings:
            log.warning("%s", line)
        self.classes = images.classes
        self.test = images.test
        train, self.val = self._split(images)
        self.train_labelled = self._with_labels(train)
        self.train = train if images.unlabelled is None else train.joined(images.unlabelled)

    def _split(self, images: ImageSet) -> tuple[Split, Split]:
        train, val = images.train, images.test
        # Images without classes, all of the label -1, are as many of one class.
        sizes = torch.bincount(train.labels.clamp(min=0), minlength=len(self.classes))
        total, most = len(train.labels), int((sizes - 1).clamp(min=0).sum())
        # A tenth, or as near to it as the classes allow.
        fitting = f"try data.validation={max(1, min(round(total / 10), most)) if most else 'test'}"
        if self.validation == "val":
            if images.val is None:
                what = f"found val, but {self.source_name} has no validation images of its own"
                raise ConfigError([Problem("data.validation", what, fitting)])
            val = images.val
        elif self.validation != "test":
            held_out = self.validation if isinstance(self.validation, int) else round(self.validation * total)
            if not 1 <= held_out <= most:
                what = f"{held_out} images held out of {total}, expected 1 to {most}: each class keeps one"
                raise ConfigError([Problem("data.validation", what, fitting)])
            seed = derive_seed("validation", self.split_seed)
            chosen = from_each_class(train.labels, class_shares(sizes, held_out), seed)
            kept = torch.ones(total, dtype=torch.bool)
            kept[chosen] = False
            val, train = train.chosen(chosen), train.chosen(kept.nonzero().squeeze(1))
        if self.limit is not None:
            self._refuse_more("limit", self.limit, train)
            seed = derive_seed("subset", self.split_seed)
            train = train.chosen(class_balanced(train.labels, self.limit, seed))
        return train, val

    def _with_labels(self, train: Split) -> Split:
        """The training images whose labels stage 2 may use."""
        if not self.classes:
            return train.chosen(torch.tensor([], dtype=torch.int64))
        if self.labels is None:
            return train
        seed = derive_seed("labels", self.labels_seed)
        if isinstance(self.labels, int):
            self._refuse_more("labels", self.labels, train)
            chosen, full = class_balanced(train.labels, self.labels, seed), 1
        else:
            full = int(self.labels.removesuffix(PER_CLASS))
            chosen = from_each_class(train.labels, torch.full((len(self.classes),), full), seed)
        counts = torch.bincount(train.labels[chosen], minlength=len(self.classes)).tolist()
        fewer = [
            f"{name} ({count})" for name, count in zip(self.classes, counts, strict=True) if count < full
        ]
        if not all(counts):
            what = f"found {self.labels}, which leaves no label of some classes: {', '.join(fewer)}"
            raise ConfigError([Problem("data.labels", what, f"try data.labels=10{PER_CLASS}")])
        if fewer:
            log.info("data.labels=%s: there are fewer of class %s", self.labels, ", ".join(fewer))
        return train.chosen(chosen)

    def _refuse_more(self, key: str, count: int, split: Split) -> None:
        if count > len(split.labels):
            what = f"found {count}, but {len(split.labels)} training images are left after validation"
            raise ConfigError([Problem(f"data.{key}", what, f"try data.{key}=null for all of them")])

    def __str__(self) -> str:
        trained = f"{len(self.train.labels):,} to train on"
        if self.images is not None and self.images.unlabelled is not None:
            trained += f" ({len(self.images.unlabelled.labels):,} of them without labels, for stage 1)"
        validated = f"{len(self.val.labels):,} to validate"
        if self.validation == "test":
            validated = "validated on the test set"
        shape = f"{self.channels} x {self.image_size} x {self.image_size}"
        classes = f"{len(self.classes)} classes" if self.classes else "no classes"
        tested = f"{len(self.test.labels):,} to test"
        return f"{self.source_name}, {shape}, {classes}: {trained}, {validated}, {tested}"

    @property
    def preprocessing(self) -> Preprocessing:
        """What makes such images of files."""
        return Preprocessing(self.image_size, self.channels, background=self.background)

    def checksum(self) -> str:
        """SHA-256 of all images and labels, before any split."""
        assert self.images is not None
        return self.images.checksum

    def labelled(self) -> ImageDataModule:
        """The same data, its training images cut down to those whose labels stage 2 may use."""
        view = copy.copy(self)
        view.train = self.train_labelled
        return view

    def device(self) -> torch.device:
        """The device of the fit that uses the data, the CPU outside of a fit."""
        return self.trainer.strategy.root_device if self.trainer is not None else torch.device("cpu")

    def inputs(self, split: Split) -> Tensor:
        """What batches of a split are drawn from, moved to the device as a whole."""
        return split.images.to(self.device())

    def train_dataloader(self) -> Batches:
        """Training batches in a random order; the last one of a pass may be smaller."""
        trainer = self.trainer
        share = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
        return self._training_batches(self.inputs(self.train), *share)

    def count_batches(self, world_size: int = 1) -> Batches:
        """The training batches of so many processes, without images: there is nothing to be drawn."""
        return self._training_batches(self.train.labels, 0, world_size)

    def _training_batches(self, inputs: Tensor, rank: int, world_size: int) -> Batches:
        labels = self.train.labels.to(inputs.device)
        return Batches(inputs, labels, self.batch_size, True, rank, world_size, self.least_steps)

    def val_dataloader(self) -> Batches:
        """Validation batches in the order of the set; each process has all, so that the noise is the same."""
        return self._evaluation_batches(self.val)

    def test_dataloader(self) -> Batches:
        """Test batches in the order of the set."""
        return self._evaluation_batches(self.test)

    def _evaluation_batches(self, split: Split) -> Batches:
        inputs = self.inputs(split)
        return Batches(inputs, split.labels.to(inputs.device), EVALUATION_BATCH_SIZE, shuffle=False)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Nothing: it is there already, and Lightning's own way would search it for tensors."""
        return batch

    def on_after_batch_transfer(self, batch: Any, dataloader_index: int) -> Any:
        """Bytes to floats in [0, 1], on the device; training images moved."""
        images, labels = batch
        if self.augment and self.trainer is not None and self.trainer.training:
            images = shift_at_random(images, self.augment, 255 * (self.background == "white"))
        return bytes_to_floats(images), labels


def shift_at_random(images: Tensor, most: int, ground: int = 0) -> Tensor:
    """Each image moved by its own whole number of pixels in -most .. most, down and to the right.

    Args:
        images: (N, C, H, W).
        most: In pixels.
        ground: What comes in where something has moved out.

    Returns:
        The same shape and type.
    """
    count, _, height, width = images.shape
    corners = torch.randint(2 * most + 1, (2, count, 1), device=images.device)
    rows = corners[0] + torch.arange(height, device=images.device)
    columns = corners[1] + torch.arange(width, device=images.device)
    padded = F.pad(images, (most, most, most, most), value=ground)
    each = torch.arange(count, device=images.device)[:, None, None]
    return padded[each, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


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
