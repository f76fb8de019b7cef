"""The data sets that come with the project: functions from a folder to uint8 images and labels.

A data set of the user's own is such a function, too, which a file in his ``data`` group names.
"""

from __future__ import annotations

import gzip
import hashlib
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dae.data.image_set import ImageSet, Split, with_fixed_test
from dae.errors import UserError
from dae.files import atomic_path
from dae.text import train_command


def digits(root: Path, image_size: int, channels: int) -> ImageSet:
    """Scikit-learn's 1,797 digits of 8 x 8 pixels in 17 greys; every fifth is for the test, stratified."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.from_numpy(bunch.images).mul(255 / 16).round().to(torch.uint8)[:, None]
    split = Split(images, torch.from_numpy(bunch.target).long())
    return with_fixed_test(split.fitted(image_size, channels), tuple(map(str, bunch.target_names)))


def mnist(root: Path, image_size: int, channels: int) -> ImageSet:
    """60,000 + 10,000 handwritten digits (LeCun et al. 1998); see ``torchvision_idx``."""
    return torchvision_idx("MNIST", root, image_size, channels)


def fashion_mnist(root: Path, image_size: int, channels: int) -> ImageSet:
    """60,000 + 10,000 pieces of clothing (Xiao et al. 2017); see ``torchvision_idx``."""
    return torchvision_idx("FashionMNIST", root, image_size, channels)


def kmnist(root: Path, image_size: int, channels: int) -> ImageSet:
    """60,000 + 10,000 cursive characters (Clanuwat et al. 2018); see ``torchvision_idx``."""
    return torchvision_idx("KMNIST", root, image_size, channels)


def torchvision_idx(name: str, root: Path, image_size: int, channels: int) -> ImageSet:
    """One of torchvision's MNIST-like classes: its packed files, addresses and md5 sums, read as they are.

    Raises:
        UserError: A file cannot be had, or is another.
    """
    from torchvision import datasets

    dataset = getattr(datasets, name)
    arrays = [_array(_content(dataset, root / name / "raw", *file)) for file in dataset.resources]
    images, labels = ([torch.from_numpy(array) for array in kind] for kind in (arrays[::2], arrays[1::2]))
    train, test = (
        Split(pixels[:, None], classes.long()).fitted(image_size, channels)
        for pixels, classes in zip(images, labels, strict=True)
    )
    return ImageSet(train, test, tuple(dataset.classes))


def _content(dataset: Any, folder: Path, file: str, md5: str) -> bytes:
    """What is packed in a file, which is downloaded where it is not there."""
    path = folder / file
    if not path.is_file():
        _download(dataset, folder, file, md5)
    packed = path.read_bytes()
    found = hashlib.md5(packed, usedforsecurity=False).hexdigest()
    if found != md5:
        raise UserError(f"{path}: its md5 is {found}, expected {md5}. Delete it: it is downloaded again")
    return gzip.decompress(packed)


def _array(content: bytes) -> np.ndarray:
    """An idx file of unsigned bytes (the format is on the MNIST page: magic, sizes, data)."""
    offset = 4 + 4 * content[3]
    shape = [int.from_bytes(content[start : start + 4], "big") for start in range(4, offset, 4)]
    return np.frombuffer(bytearray(content), np.uint8, offset=offset).reshape(shape)


def _download(dataset: Any, folder: Path, file: str, md5: str) -> None:
    """Load a packed file, which appears once it is whole."""
    from torchvision.datasets.utils import download_url

    errors = []
    for mirror in dataset.mirrors:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_path(folder / file) as temporary:
                download_url(mirror + file, str(folder), temporary.name, md5)
            return
        except (OSError, RuntimeError, ValueError, HTTPException) as error:
            errors.append(f"\n    {mirror + file}: {str(error).strip() or type(error).__name__}")
    needed = "".join(f"\n    {name}  md5 {digest}" for name, digest in dataset.resources)
    raise UserError(
        f"{dataset.__name__} could not be downloaded:{''.join(errors)}\n"
        f"  To use it without a network, put these files into {folder.absolute()}:{needed}\n"
        "  or name the folder that holds them, by data.root=<folder>\n"
        f"  data=digits needs no network: {train_command()} data=digits"
    )
