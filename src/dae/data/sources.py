"""From the name of a data set to its uint8 images and labels.

To add a data set: a function like those below, its name in ``SOURCES``, a file in ``conf/data``.
"""

from __future__ import annotations

import gzip
import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from dae.data.folder import list_images, list_unlabelled, split_folders
from dae.data.image_folder import image_folder
from dae.data.image_set import ImageSet, Split, with_fixed_test
from dae.errors import UserError
from dae.words import closest_name


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
    found = with_fixed_test(split.fitted(image_size, channels), tuple(map(str, bunch.target_names)))
    return replace(found, notes=split.fitting(image_size, channels))


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
        listings = [list_images(folder) for folder in split_folders(root, unlabelled).values()]
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
