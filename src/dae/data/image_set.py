"""Images and their labels, and the splits of a data set."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dae.errors import UserError

# The label of an image without a class.
UNLABELLED = -1
PIECE = 1000  # images at once: a whole set in float would take four times its memory
# Grey from colour (ITU-R BT.601), as Pillow's own conversion.
LUMA = torch.tensor([0.299, 0.587, 0.114])[:, None, None]


@dataclass(frozen=True)
class Split:
    """Images (N, C, H, W) in uint8 and labels (N,) in int64; ``UNLABELLED`` where there are no classes.

    Raises:
        ValueError: They are of another type or shape.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        found = [(tensor.dtype, tuple(tensor.shape)) for tensor in (self.images, self.labels)]
        types, count = (torch.uint8, torch.int64), self.images.shape[:1]
        if tuple(kind for kind, _ in found) != types or self.images.dim() != 4 or self.labels.shape != count:
            raise ValueError(f"a split holds {found}, expected uint8 (N, C, H, W) and int64 (N,)")

    def chosen(self, indices: Tensor) -> Split:
        """The split that holds only these images, in this order."""
        return Split(self.images[indices], self.labels[indices])

    def joined(self, other: Split) -> Split:
        """The images of both."""
        return Split(torch.cat([self.images, other.images]), torch.cat([self.labels, other.labels]))

    def fitted(self, image_size: int, channels: int) -> Split:
        """The same images with that side (bilinear, antialiased) and those channels."""
        images = self.images
        if images.shape[1] != channels:
            if channels == 1:
                pieces = [(piece * LUMA).sum(1, keepdim=True).round() for piece in images.split(PIECE)]
                images = torch.cat([piece.to(torch.uint8) for piece in pieces])
            else:
                images = images.expand(-1, channels, -1, -1)
        if images.shape[-2:] != (image_size, image_size):
            size = (image_size, image_size)
            images = torch.cat([_resized(piece, size) for piece in images.split(PIECE)])
        return Split(images.contiguous(), self.labels)

    def digests(self) -> list[bytes]:
        """What each image is known by: the same for images that are equal in every byte."""
        return [hashlib.blake2b(image.numpy().data, digest_size=16).digest() for image in self.images]


@dataclass(frozen=True)
class ImageSet:
    """A data set with the division into training and test images that its authors gave it.

    Attributes:
        classes: Their names, in the order of the labels; none if all labels are ``UNLABELLED``.
        val: Validation images, where the authors set some apart.
        unlabelled: Further images to train stage 1 on.
        notes: A line on each thing that ``stage=data`` says of the images besides.
        warnings: A line on each thing that every run says: what was converted, what was left out.
    """

    train: Split
    test: Split
    classes: tuple[str, ...]
    val: Split | None = None
    unlabelled: Split | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of all images and labels."""
        digest = hashlib.sha256()
        for split in filter(None, (self.train, self.test, self.val, self.unlabelled)):
            digest.update(split.images.numpy().data)
            digest.update(split.labels.numpy().data)
        return digest.hexdigest()


def bytes_to_floats(images: Tensor) -> Tensor:
    """Images in uint8 as floats in [0, 1]."""
    return images.float().div_(255)  # of the copy that float() has made


def mean_image(images: Tensor) -> Tensor:
    """The mean of uint8 images (N, C, H, W), as floats in [0, 1], (C, H, W)."""
    total = torch.zeros(images.shape[1:])
    for piece in images.split(128):
        total += piece.float().sum(0)
    return total.div_(255 * len(images))


def with_fixed_test(split: Split, classes: tuple[str, ...]) -> ImageSet:
    """A fifth for the test, stratified, the same in every run whatever ``data.split_seed`` is.

    Raises:
        UserError: A class is too small to be divided.
    """
    from sklearn.model_selection import train_test_split

    numbers, strata = np.arange(len(split.labels)), split.labels if classes else None
    try:
        parts = train_test_split(numbers, test_size=0.2, random_state=0, stratify=strata)
    except ValueError as error:
        raise UserError(
            f"a fifth of each class goes into the test set, and {error}. Give it a folder of its own"
        ) from error
    train, test = (split.chosen(torch.from_numpy(np.sort(indices))) for indices in parts)
    return ImageSet(train, test, classes)


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    resized = F.interpolate(images.float(), size=size, mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)


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
    shuffled, turns = _in_turns(labels, seed)
    by_turn = torch.argsort(turns, stable=True)
    return shuffled[by_turn[:count]].sort().values


def from_each_class(labels: Tensor, counts: Tensor, seed: int) -> Tensor:
    """Indices of ``counts[c]`` images of each class c, or of all that it has.

    Larger ``counts`` of the same seed contain the smaller ones.

    Args:
        labels: Class of each image, (N,).
        counts: How many of each class, (classes,).
        seed: What decides which ones.

    Returns:
        At most ``counts.sum()`` indices, ascending.
    """
    shuffled, turns = _in_turns(labels, seed)
    return shuffled[turns < counts[labels[shuffled]]].sort().values


def class_shares(sizes: Tensor, count: int) -> Tensor:
    """``count`` images divided among the classes by their sizes, with the largest remainders.

    Each class keeps at least one image, and gives at least one if it has two, where ``count`` allows that.

    Args:
        sizes: Images of each class, (classes,).
        count: At most the images beyond the first of each class.

    Returns:
        (classes,), with the sum ``count``.
    """
    most = (sizes - 1).clamp(min=0)
    givers = most.clamp(max=1)
    least = givers if count >= givers.sum() else torch.zeros_like(sizes)
    exact = count * sizes.double() / sizes.sum()
    given = exact.long().clamp(least, most)
    while given.sum() < count:
        given[torch.where(given < most, exact - given, -torch.inf).argmax()] += 1
    while given.sum() > count:
        given[torch.where(given > least, exact - given, torch.inf).argmin()] -= 1
    return given


def _in_turns(labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The images in a random order, and the turn of each: how many of its class come before it."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(labels), generator=generator)
    ordered = labels[shuffled]
    turns = torch.empty_like(ordered)
    for label in labels.unique():
        members = ordered == label
        turns[members] = torch.arange(int(members.sum()))
    return shuffled, turns
