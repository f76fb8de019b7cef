"""From the name of a data set to its uint8 images and labels.

To add a data set: a function like those below, its name in ``SOURCES``, a file in ``conf/data``.
"""

from __future__ import annotations

import gzip
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dae.data.folder import list_images, read_images
from dae.data.stored import StoredImages
from dae.errors import UserError
from dae.words import closest_name


@dataclass(frozen=True)
class Split:
    """Images (N, C, H, W) in uint8 and labels (N,) in int64."""

    images: Tensor | StoredImages
    labels: Tensor

    def chosen(self, indices: Tensor) -> Split:
        """The split that holds only these images, in this order."""
        if isinstance(self.images, StoredImages):
            return Split(self.images.chosen(indices), self.labels[indices])
        return Split(self.images[indices], self.labels[indices])

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
        classes: Their names, in the order of the labels.
        val: Validation images, where the authors set some apart.
        notes: What ``stage=data`` says of it besides: a line on how its images were fitted, say.
    """

    train: Split
    test: Split
    classes: tuple[str, ...]
    val: Split | None = None
    notes: tuple[str, ...] = ()

    def checksum(self) -> str:
        """SHA-256 of all images and labels."""
        digest = hashlib.sha256()
        for split in filter(None, (self.train, self.test, self.val)):
            for piece in split.images.split(1000):
                digest.update(piece.numpy().data)
            digest.update(split.labels.numpy().data)
        return digest.hexdigest()


def _resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    resized = F.interpolate(images.float(), size=size, mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)


def torchvision_idx(name: str, root: Path, image_size: int, channels: int) -> ImageSet:
    """One of torchvision's MNIST-like classes: its files, addresses and md5 sums, read without unpacking."""
    from torchvision import datasets

    dataset = getattr(datasets, name)
    folder = root / name / "raw"
    files: list[tuple[str, str]] = dataset.resources
    paths = [_idx_file(folder, file, md5) for file, md5 in files]
    if None in paths:
        _download(dataset, root, folder)
        paths = [_idx_file(folder, file, md5) for file, md5 in files]
    arrays = {path.name: _read_idx(path) for path in paths if path is not None}

    def split(prefix: str) -> Split:
        images, labels = (
            next(array for file, array in arrays.items() if file.startswith(f"{prefix}-{kind}"))
            for kind in ("images", "labels")
        )
        return Split(torch.from_numpy(images)[:, None], torch.from_numpy(labels).long())

    train, test = split("train"), split("t10k")
    return ImageSet(
        train.fitted(image_size, channels),
        test.fitted(image_size, channels),
        tuple(dataset.classes),
        notes=train.fitting(image_size, channels),
    )


def _idx_file(folder: Path, file: str, md5: str) -> Path | None:
    """The gz file if its md5 sum is right, else the unpacked file, else None."""
    packed, unpacked = folder / file, folder / file.removesuffix(".gz")
    if packed.is_file() and _md5(packed) == md5:
        return packed
    return unpacked if unpacked.is_file() else None


def _md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()


def _read_idx(path: Path) -> np.ndarray:
    """An idx file of unsigned bytes (the format is on the MNIST page: magic, sizes, data)."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    offset = 4 + 4 * content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    shape = [int.from_bytes(content[start : start + 4], "big") for start in range(4, offset, 4)]
    if not offset or len(content) != offset + math.prod(shape):
        raise UserError(
            f"{path} is not a whole idx file of unsigned bytes; delete it to have it loaded again"
        )
    return np.frombuffer(bytearray(content), np.uint8, offset=offset).reshape(shape)


def _download(dataset: type, root: Path, folder: Path) -> None:
    mirrors: list[str] = dataset.mirrors  # type: ignore[attr-defined]
    files: list[tuple[str, str]] = dataset.resources  # type: ignore[attr-defined]
    try:
        dataset(str(root), download=True)
    except (OSError, RuntimeError) as error:
        state = "\n".join(f"    {file}  md5 {md5}  {_found(folder / file, md5)}" for file, md5 in files)
        addresses = "\n".join(f"    {mirror}" for mirror in mirrors)
        raise UserError(
            f"{dataset.__name__} could not be downloaded: {str(error).strip() or type(error).__name__}\n"
            f"  Addresses tried:\n{addresses}\n"
            f"  To use it without a network, put these files into {folder.resolve()}:\n{state}\n"
            "  Or name the folder that holds them: data.root=<folder>\n"
            "  data=digits needs no network: python train.py data=digits"
        ) from error


def _found(file: Path, md5: str) -> str:
    if not file.is_file():
        return "(missing)"
    found = _md5(file)
    return "(there)" if found == md5 else f"(there, but its md5 is {found})"


def digits(root: Path, image_size: int, channels: int) -> ImageSet:
    """Scikit-learn's 1,797 digits of 8 x 8 pixels in 17 greys; every fifth is for the test, stratified."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.from_numpy(bunch.images).mul(255 / 16).round().to(torch.uint8)[:, None]
    split = Split(images, torch.from_numpy(bunch.target).long())
    found = _with_fixed_test(split.fitted(image_size, channels), tuple(map(str, bunch.target_names)))
    return replace(found, notes=split.fitting(image_size, channels))


def _with_fixed_test(split: Split, classes: tuple[str, ...]) -> ImageSet:
    """A fifth for the test, stratified, the same in every run whatever ``data.split_seed`` is."""
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(
        np.arange(len(split.labels)), test_size=0.2, random_state=0, stratify=split.labels
    )
    train, test = (torch.from_numpy(np.sort(indices)) for indices in (train, test))
    return ImageSet(split.chosen(train), split.chosen(test), classes)


def image_folder(root: Path, image_size: int, channels: int, in_memory: bool = True) -> ImageSet:
    """Images in ``root/{train,test}/<class>/*``, or in ``root/<class>/*`` with a fixed test split.

    They are decoded once, into a cache in ``root``; without ``in_memory`` they stay there.
    """
    if not root.is_dir():
        raise UserError(
            f"data.root={root} is not a folder. data=image_folder reads <root>/train/<class>/*.png and "
            "<root>/test/<class>/*.png, or <root>/<class>/*.png"
        )
    folders = [root / "train", root / "test"]
    divided = all(folder.is_dir() for folder in folders)
    listings = [list_images(folder) for folder in (folders if divided else [root])]
    classes = listings[0].classes
    if classes != listings[-1].classes:
        differing = sorted(set(classes) ^ set(listings[-1].classes))
        raise UserError(f"{root}: the classes in train/ and in test/ differ: {', '.join(differing)}")
    counts = [listings[0].labels.count(label) for label in range(len(classes))]
    small = [f"{name} ({count})" for name, count in zip(classes, counts, strict=True) if count < 5]
    if small and not divided:
        raise UserError(
            f"{root}: a fifth of each class goes into the test set, which takes 5 images a class or more; "
            f"too few in {', '.join(small)}. Give train/ and test/ folders instead."
        )
    train, *test = (
        Split(read_images(listing, root, image_size, channels, in_memory), torch.tensor(listing.labels))
        for listing in listings
    )
    return ImageSet(train, test[0], classes) if test else _with_fixed_test(train, classes)


SOURCES: dict[str, Callable[..., ImageSet]] = {
    "mnist": partial(torchvision_idx, "MNIST"),
    "fashion_mnist": partial(torchvision_idx, "FashionMNIST"),
    "kmnist": partial(torchvision_idx, "KMNIST"),
    "digits": digits,
    "image_folder": image_folder,
}
# Those that take ``in_memory``.
STREAMED = ("image_folder",)


def known_source(name: str) -> str:
    """``name``, if it is one of ``SOURCES``.

    Raises:
        ValueError: It is not.
    """
    if name not in SOURCES:
        meant = closest_name(name, SOURCES)
        advice = f"; the nearest is {meant}" if meant else ""
        raise ValueError(f"expected one of {', '.join(SOURCES)}{advice}")
    return name
