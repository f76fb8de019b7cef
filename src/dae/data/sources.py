"""From the name of a data set to its uint8 images and labels.

A data set of the user's own is a function like ``digits``, which a file in his ``data`` group names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from dae.data.folder import list_images, list_unlabelled, split_folders
from dae.data.idx import torchvision_idx
from dae.data.image_folder import image_folder
from dae.data.image_set import ImageSet, Split, with_fixed_test
from dae.data.walk import is_folder
from dae.words import closest_name


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
# What lies around the images of the others.
GROUND = "black"
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
    files = sorted(root.glob("*/raw/*")) if is_folder(root) else []
    stats = [(str(file), file.stat()) for file in files if file.exists()]
    return repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])


def full_name(source: Callable[..., ImageSet]) -> str:
    """The name of a function, or of the one behind a ``partial`` of it."""
    function = getattr(source, "func", source)
    return f"{function.__module__}.{function.__name__}"


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
