"""Images and their labels, and the splits of a data set."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dae.data.stored import StoredImages
from dae.data.targets import pixel_accuracy_ceiling
from dae.errors import UserError


@dataclass(frozen=True)
class Split:
    """Images (N, C, H, W) in uint8 and labels (N,) in int64."""

    images: Tensor | StoredImages
    labels: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in memory."""
        return self.labels.nbytes + (self.images.nbytes if isinstance(self.images, Tensor) else 0)

    def chosen(self, indices: Tensor) -> Split:
        """The split that holds only these images, in this order."""
        if isinstance(self.images, StoredImages):
            return Split(self.images.chosen(indices), self.labels[indices])
        return Split(self.images[indices], self.labels[indices])

    def joined(self, other: Split) -> Split:
        """The images of both, which are in memory."""
        images = torch.cat([self.images[:], other.images[:]])
        return Split(images, torch.cat([self.labels, other.labels]))

    def to(self, device: torch.device) -> Split:
        """The split on the device, unless its images stay in a file."""
        if isinstance(self.images, StoredImages):
            return self
        return Split(self.images.to(device), self.labels.to(device))

    def fitted(self, image_size: int, channels: int) -> Split:
        """The same images with that side (bilinear, antialiased) and those channels (grey is the mean)."""
        images = self.images[:]
        if images.shape[1] != channels:
            grey = images.float().mean(1, keepdim=True).round().to(torch.uint8)
            images = grey.expand(-1, channels, -1, -1)
        if images.shape[-2:] != (image_size, image_size):
            size = (image_size, image_size)
            # In pieces: the whole set in float would take four times its memory.
            images = torch.cat([_resize(piece, size) for piece in images.split(1000)])
        return Split(images.contiguous(), self.labels)

    def fitting(self, image_size: int, channels: int) -> tuple[str, ...]:
        """What ``fitted`` does to the images, a line each thing."""
        found, *sides = self.images.shape[1:]
        notes = []
        if sides != [image_size, image_size]:
            notes.append(f"resized from {sides[0]} x {sides[1]} to {image_size} x {image_size} pixels")
        if found != channels:
            notes.append("turned to grey" if channels == 1 else f"grey, repeated in {channels} channels")
        return tuple(notes)


@dataclass(frozen=True)
class ImageSet:
    """A data set with the division into training and test images that its authors gave it.

    Attributes:
        classes: Their names, in the order of the labels; none if all labels are ``folder.UNLABELLED``.
        val: Validation images, where the authors set some apart.
        unlabelled: Further images to train stage 1 on.
        notes: What ``stage=data`` says of it besides: a line on how its images were fitted, say.
        converted: What every run says: a line on what had to be made of its files.
        unused: What every run says: a line on each thing that was found and left out.
    """

    train: Split
    test: Split
    classes: tuple[str, ...]
    val: Split | None = None
    unlabelled: Split | None = None
    notes: tuple[str, ...] = ()
    converted: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in memory."""
        splits = (self.train, self.test, self.val, self.unlabelled)
        return sum(split.nbytes for split in splits if split is not None)

    @cached_property
    def pixel_accuracy_ceiling(self) -> float:
        """The highest pixel accuracy that any reconstruction of the test images can have."""
        return pixel_accuracy_ceiling(self.test.images)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of all images and labels."""
        digest = hashlib.sha256()
        for split in filter(None, (self.train, self.test, self.val, self.unlabelled)):
            for piece in split.images.split(1000):
                digest.update(piece.numpy().data)
            digest.update(split.labels.numpy().data)
        return digest.hexdigest()


def checked_images(found: Any, source: str, channels: int, side: int) -> ImageSet:
    """What a function of the user's has given, if that is what was asked of it.

    Raises:
        UserError: It is not.
    """
    if not isinstance(found, ImageSet):
        raise UserError(f"{source} gives a {type(found).__name__}, expected a dae.data.image_set.ImageSet")
    splits = {"train": found.train, "test": found.test, "val": found.val, "unlabelled": found.unlabelled}
    for name, split in splits.items():
        if split is None:
            continue
        images, labels = split.images[:], split.labels
        if images.dtype != torch.uint8 or images.shape[1:] != (channels, side, side) or not len(images):
            what = f"{source}: {name}.images is {images.dtype} {tuple(images.shape)}"
            way = "Split(images, labels).fitted(image_size, channels) brings uint8 images to that size"
            raise UserError(f"{what}, expected torch.uint8 (N, {channels}, {side}, {side}); {way}")
        classes = found.classes if name != "unlabelled" else ()
        least, most = (0, len(classes) - 1) if classes else (-1, -1)
        fits = labels.dtype == torch.int64 and labels.shape == images.shape[:1]
        if not fits or not least <= int(labels.min()) <= int(labels.max()) <= most:
            what = f"{source}: {name}.labels is {labels.dtype} {tuple(labels.shape)}"
            numbers = f"numbers from {least} to {most}" if classes else "all -1, since there are no classes"
            raise UserError(f"{what}, expected torch.int64 ({len(images)},), {numbers}")
    return found


def _resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    resized = F.interpolate(images.float(), size=size, mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)


def with_fixed_test(split: Split, classes: tuple[str, ...]) -> ImageSet:
    """A fifth for the test, stratified, the same in every run whatever ``data.split_seed`` is."""
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(
        np.arange(len(split.labels)),
        test_size=0.2,
        random_state=0,
        stratify=split.labels if classes else None,
    )
    train, test = (torch.from_numpy(np.sort(indices)) for indices in (train, test))
    return ImageSet(split.chosen(train), split.chosen(test), classes)
