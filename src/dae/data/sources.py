"""From the name of a data set to its uint8 images and labels.

To add a data set: a function like those below, its name in ``SOURCES``, a file in ``conf/data``.
"""

from __future__ import annotations

import gzip
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dae.data.decoding import Decoding, read_images
from dae.data.folder import Listing, list_images, list_unlabelled, split_folders
from dae.data.headers import read_headers
from dae.data.stored import StoredImages
from dae.errors import UserError
from dae.words import closest_name, counted


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
        unused: What every run says: a line on each thing that was found and left out.
    """

    train: Split
    test: Split
    classes: tuple[str, ...]
    val: Split | None = None
    unlabelled: Split | None = None
    notes: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in memory."""
        splits = (self.train, self.test, self.val, self.unlabelled)
        return sum(split.nbytes for split in splits if split is not None)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of all images and labels."""
        digest = hashlib.sha256()
        for split in filter(None, (self.train, self.test, self.val, self.unlabelled)):
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
        np.arange(len(split.labels)),
        test_size=0.2,
        random_state=0,
        stratify=split.labels if classes else None,
    )
    train, test = (torch.from_numpy(np.sort(indices)) for indices in (train, test))
    return ImageSet(split.chosen(train), split.chosen(test), classes)


def image_folder(
    root: Path,
    image_size: int,
    channels: int,
    *,
    in_memory: bool = True,
    fit: str = "pad",
    background: str = "white",
    bad_images: str = "error",
    unlabelled: Path | None = None,
    own_validation: bool = False,
) -> ImageSet:
    """Images in ``root/{train,val,test}/<class>/*``, or in ``root/<class>/*`` with a fixed test split.

    Images without class folders have no labels. All are decoded once, into a cache in ``root``; without
    ``in_memory`` they stay there.
    """
    how = Decoding(image_size, channels, fit, background, bad_images)
    folders = split_folders(root)
    unused = []
    if "val" in folders and not own_validation:
        unused.append(f"{folders.pop('val')} is not used: data.validation=val would validate on it")
    listings = {name: list_images(folder) for name, folder in folders.items()}
    classes = listings["train"].classes
    for name, listing in listings.items():
        if differing := sorted(set(classes) ^ set(listing.classes)):
            raise UserError(f"{root}: the classes in train/ and in {name}/ differ: {', '.join(differing)}")
    if "test" not in listings:
        _refuse_small(root, classes, listings["train"].labels)
    notes = [*read_headers(listings["train"]).notes(how)]
    splits = {}
    for name, listing in listings.items():
        splits[name], left_out = _read_split(listing, root, how, in_memory)
        unused += left_out
    if "test" not in listings:
        _refuse_small(root, classes, splits["train"].labels.tolist())  # of those that were skipped, too
        images = _with_fixed_test(splits["train"], classes)
    else:
        images = ImageSet(splits["train"], splits["test"], classes)
    extra = None
    if unlabelled is not None:
        _refuse_overlap(unlabelled, root, folders)
        listing = list_unlabelled(unlabelled)
        extra, left_out = _read_split(listing, unlabelled, how, in_memory)
        unused += left_out
        notes.append(f"{len(extra.labels):,} without labels, from {unlabelled}, for stage 1")
    return replace(
        images,
        val=splits.get("val"),
        unlabelled=extra,
        notes=(*notes, *unused),
        unused=tuple(unused),
    )


def _refuse_small(root: Path, classes: tuple[str, ...], labels: list[int]) -> None:
    """Refuse a class that is too small to be divided; or the whole set, if it has no classes."""
    counts = {name: labels.count(label) for label, name in enumerate(classes)} or {"all": len(labels)}
    small = [f"{name} ({count})" for name, count in counts.items() if count < 5]
    if small:
        raise UserError(
            f"{root}: a fifth of each class goes into the test set, which takes 5 images a class or more; "
            f"too few in {', '.join(small)}. Give train/ and test/ folders instead."
        )


def _refuse_overlap(unlabelled: Path, root: Path, folders: dict[str, Path]) -> None:
    if not unlabelled.is_dir():
        raise UserError(f"data.unlabelled={unlabelled} is not a folder; expected one that holds images")
    place = unlabelled.resolve()
    for folder in (folder.resolve() for folder in folders.values()):
        if place.is_relative_to(folder) or folder.is_relative_to(place):
            raise UserError(
                f"data.unlabelled={unlabelled} and {folder} share images: stage 1 would train on what it is "
                f"tested on. Name a folder outside of data.root={root}"
            )


def _read_split(listing: Listing, root: Path, how: Decoding, in_memory: bool) -> tuple[Split, list[str]]:
    """The split, and a line on each thing that was left out."""
    images, readable = read_images(listing, root, how, in_memory)
    split, left_out = Split(images, torch.tensor(listing.labels)), []
    if listing.loose:
        loose = counted(listing.loose, "image")
        left_out.append(f"{loose} in {listing.folder} itself: not used, since there are class folders")
    if not readable.all():
        bad = [file for file, good in zip(listing.files, readable.tolist(), strict=True) if not good]
        shown = ", ".join(bad[:3]) + (" ..." if len(bad) > 3 else "")
        files = counted(len(bad), "file")
        what = "left out (data.bad_images=skip), no image that can be read"
        left_out.append(f"{files} in {listing.folder}: {what}: {shown}")
        split = split.chosen(readable.nonzero().squeeze(1))
    return split, left_out


SOURCES: dict[str, Callable[..., ImageSet]] = {
    "mnist": partial(torchvision_idx, "MNIST"),
    "fashion_mnist": partial(torchvision_idx, "FashionMNIST"),
    "kmnist": partial(torchvision_idx, "KMNIST"),
    "digits": digits,
    "image_folder": image_folder,
}
# Those that read files of the user's, and the keys that they alone have.
FOLDERS = ("image_folder",)
FOLDER_KEYS = ("fit", "background", "bad_images", "unlabelled")
# Side and channels of the others as they are, where they are known.
ORIGINAL = dict.fromkeys(("mnist", "fashion_mnist", "kmnist", "digits"), (28, 1))


def files_state(source: str, root: Path, unlabelled: Path | None) -> str:
    """What the files of a source are known by, without reading them: paths, sizes and times of change.

    Raises:
        UserError: There is no such folder of images.
    """
    if source in FOLDERS:
        listings = [list_images(folder) for folder in split_folders(root).values()]
        listings += [list_unlabelled(unlabelled)] if unlabelled is not None else []
        return " ".join(listing.state for listing in listings)
    stats = [(str(file), file.stat()) for file in sorted(root.glob("*/raw/*"))]
    return repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])


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
