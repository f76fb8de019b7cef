"""The LightningDataModule: what is trained on, validated on and tested on, and which labels may be used."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt
from pytorch_lightning import LightningDataModule

from dae.data.augment import shift_at_random
from dae.data.batches import Batches
from dae.data.draws import class_balanced, class_shares, from_each_class
from dae.data.image_set import ImageSet, Split, checked_images
from dae.data.preprocessing import Preprocessing
from dae.data.shelf import shelved
from dae.data.sources import FOLDER_KEYS, FOLDERS, GROUND, SOURCES, files_state, full_name, known_source
from dae.errors import ConfigError, Problem
from dae.seeds import derive_seed

log = logging.getLogger(__name__)

# One size for every run, so that the reference noise is the same whatever ``data.batch_size`` is.
EVALUATION_BATCH_SIZE = 128

PER_CLASS = "/class"
# Of an epoch: the order of their images is drawn at its start, a gigabyte for a million batches of 128.
MOST_STEPS = 1_000_000
LabelsPerClass = Annotated[
    str, Field(pattern=rf"^[1-9]\d*{PER_CLASS}$", description=f"'10{PER_CLASS}' (at most so many of each)")
]


def _bytes(splits: tuple[Split, Split]) -> int:
    return sum(split.nbytes for split in splits)


class ImageDataModule(LightningDataModule):
    """Images in memory, split for both stages.

    The test set is the source's own. Validation is cut from its training images, from each class its share.

    Args:
        source: A name in ``sources.SOURCES``, or a function of (root, image_size, channels).
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
        in_memory: Put the whole set on the device; else read each batch from the source's file.
        augment: Shift training images at random by up to so many pixels each way.
        fit: Of images in a folder that are not square.
        background: What ``fit=pad`` adds, and what lies under transparency.
        bad_images: What becomes of files in a folder that are no image.
        unlabelled: A folder of further images, which stage 1 trains on.
    """

    def __init__(
        self,
        source: Annotated[str, AfterValidator(known_source)] | Callable[[Path, int, int], ImageSet],
        root: Path,
        batch_size: PositiveInt,
        validation: PositiveInt | Annotated[float, Field(gt=0, lt=1)] | Literal["test", "val"],
        split_seed: NonNegativeInt,
        image_size: PositiveInt,
        channels: Literal[1, 3],
        limit: PositiveInt | None = None,
        labels: PositiveInt | LabelsPerClass | None = None,
        labels_seed: NonNegativeInt = 0,
        least_steps: Annotated[int, Field(gt=0, le=MOST_STEPS)] = 1,
        in_memory: bool = True,
        augment: NonNegativeInt = 0,
        fit: Literal["pad", "crop", "stretch"] = "pad",
        background: Literal["white", "black"] = "white",
        bad_images: Literal["error", "skip"] = "error",
        unlabelled: Path | None = None,
    ) -> None:
        super().__init__()
        self.source = source if isinstance(source, str) else full_name(source)
        self.reader: Callable[..., ImageSet] = SOURCES[source] if isinstance(source, str) else source
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
        self.in_memory = in_memory
        self.augment = augment
        self.fit = fit
        self.background = background
        self.bad_images = bad_images
        self.unlabelled = None if unlabelled is None else Path(unlabelled)
        self.images: ImageSet | None = None

    def setup(self, stage: str | None = None) -> None:
        """Read and split, once.

        Raises:
            UserError: The images cannot be had.
            ConfigError: ``validation``, ``limit`` or ``labels`` do not fit the number of images.
        """
        if self.images is not None:
            return
        own: dict[str, Any] = {}
        if self.source in FOLDERS:
            own = {key: getattr(self, key) for key in ("in_memory", *FOLDER_KEYS)}
            own["own_validation"] = self.validation == "val"
        asked = (self.root, self.image_size, self.channels)

        def read() -> ImageSet:
            found = self.reader(*asked, **own)
            ours = self.source in SOURCES
            return found if ours else checked_images(found, self.source, self.channels, self.image_size)

        key = (repr(self.reader), *asked, *own.items(), files_state(self.source, self.root, self.unlabelled))
        images = self.images = shelved(key, read, lambda images: images.nbytes)
        for line in images.converted:
            log.info("Converted: %s", line)
        for line in images.unused:
            log.warning("%s", line)
        self.classes = images.classes
        self.test = images.test
        drawn = (*key, self.validation, self.split_seed, self.limit)
        train, self.val = shelved(drawn, partial(self._split, images), _bytes)
        self.train_labelled = self._with_labels(train)
        extra = self.images.unlabelled
        self.train = train if extra is None else train.joined(extra)

    def _split(self, images: ImageSet) -> tuple[Split, Split]:
        train, val = images.train, images.test
        # Images without classes, all of the label -1, are as many of one class.
        sizes = torch.bincount(train.labels.clamp(min=0), minlength=len(self.classes))
        total, most = len(train.labels), int((sizes - 1).clamp(min=0).sum())
        # A tenth, or as near to it as the classes allow.
        fitting = f"try data.validation={max(1, min(round(total / 10), most)) if most else 'test'}"
        if self.validation == "val":
            if images.val is None:
                what = f"found val, but {self.source} has no validation images of its own"
                raise ConfigError([Problem("data.validation", what, fitting)])
            val = images.val
        elif self.validation != "test":
            held_out = self.validation if isinstance(self.validation, int) else round(self.validation * total)
            if not 1 <= held_out <= most:
                expected = f"expected 1 to {most}" if most else "but none can be"
                held = "image" if held_out == 1 else "images"
                what = f"{held_out} {held} held out of {total}, {expected}: each class keeps one"
                raise ConfigError([Problem("data.validation", what, fitting)])
            seed = derive_seed("validation", self.split_seed)
            chosen = from_each_class(train.labels, class_shares(sizes, held_out), seed)
            kept = torch.ones(total, dtype=torch.bool)
            kept[chosen] = False
            val, train = train.chosen(chosen), train.chosen(kept.nonzero().squeeze(1))
        if self.limit is not None:
            self._refuse_more("limit", self.limit, train)
            train = train.chosen(
                class_balanced(train.labels, self.limit, derive_seed("subset", self.split_seed))
            )
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
            chosen = class_balanced(train.labels, self.labels, seed)
        else:
            asked = torch.full((len(self.classes),), int(self.labels.removesuffix(PER_CLASS)))
            chosen = from_each_class(train.labels, asked, seed)
        counts = torch.bincount(train.labels[chosen], minlength=len(self.classes)).tolist()
        found = list(zip(self.classes, counts, strict=True))
        without = [name for name, count in found if not count]
        if without:
            what = f"found {self.labels}, which leaves no label of class {', '.join(without)}"
            ways = {
                f"data.labels=10{PER_CLASS}": isinstance(self.labels, int),
                "data.limit=null": self.limit is not None,
            }
            hint = " ".join(["try", *(way for way, is_new in ways.items() if is_new)])
            raise ConfigError([Problem("data.labels", what, hint)])
        full = max(counts) - 1 if isinstance(self.labels, int) else int(asked[0])
        fewer = [f"{name} ({count})" for name, count in found if count < full]
        if fewer:
            log.info("data.labels=%s: there are fewer of class %s", self.labels, ", ".join(fewer))
        return train.chosen(chosen)

    def _refuse_more(self, key: str, count: int, split: Split) -> None:
        if count > len(split.labels):
            are_left = "training image is left" if len(split.labels) == 1 else "training images are left"
            what = f"found {count}, but {len(split.labels)} {are_left} after validation"
            raise ConfigError([Problem(f"data.{key}", what, f"try data.{key}=null for all of them")])

    def __str__(self) -> str:
        trained = f"{len(self.train.labels):,} to train on"
        if self.images is not None and self.images.unlabelled is not None:
            trained += f" ({len(self.images.unlabelled.labels):,} of them without labels, for stage 1)"
        counts = f"{trained}, {len(self.val.labels):,} to validate"
        if self.validation == "test":
            counts = f"{trained}, validated on the test set"
        shape = f"{self.channels} x {self.image_size} x {self.image_size}"
        tested = f"{len(self.test.labels):,} to test"
        classes = f"{len(self.classes)} classes" if self.classes else "no classes"
        return f"{self.source}, {shape}, {classes}: {counts}, {tested}"

    def absent(self) -> dict[str, list[str]]:
        """The classes that a split has no image of, where there are any."""
        splits = {"training": self.train, "validation": self.val, "test": self.test}
        found = {}
        for name, split in splits.items():
            present = set(split.labels.unique().tolist())
            found[name] = [str(word) for label, word in enumerate(self.classes) if label not in present]
        return {name: words for name, words in found.items() if words}

    @property
    def pixel_accuracy_ceiling(self) -> float:
        """The highest pixel accuracy that any reconstruction of the test images can have."""
        assert self.images is not None
        return self.images.pixel_accuracy_ceiling

    @property
    def preprocessing(self) -> Preprocessing:
        """What makes such images of files."""
        how = (self.fit, self.background) if self.source in FOLDERS else ("pad", GROUND)
        return Preprocessing(self.image_size, self.channels, *how)  # type: ignore[arg-type]

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

    def ready(self, split: Split) -> Split:
        """The split to draw batches from: moved to the device as a whole, or left in its file."""
        return split.to(self.device())

    def train_dataloader(self) -> Batches:
        """Training batches in a random order; the last one of a pass may be smaller."""
        trainer = self.trainer
        share = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
        return self.training_batches(*share, split=self.ready(self.train))

    def training_batches(self, rank: int = 0, world_size: int = 1, split: Split | None = None) -> Batches:
        """The training batches of one of several processes, from ``split`` if its images lie elsewhere."""
        split = split or self.train
        return Batches(split, self.batch_size, True, rank, world_size, self.least_steps)

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
