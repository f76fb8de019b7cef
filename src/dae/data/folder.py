"""A folder of images: its splits, classes and files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dae.errors import UserError

# Torchvision's list.
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
# The label of an image without a class.
UNLABELLED = -1


@dataclass(frozen=True)
class Listing:
    """The images below a folder: their paths from there and their labels, class by class, each sorted.

    Without classes all labels are ``UNLABELLED``.

    Attributes:
        state: A hash of the paths, sizes and times of change of all files.
        loose: How many images lie beside the class folders, and are none of these.
    """

    folder: Path
    files: list[str]
    labels: list[int]
    classes: tuple[str, ...]
    state: str
    loose: int = 0


def split_folders(root: Path) -> dict[str, Path]:
    """The folders ``train``, ``val``, ``test`` that divide ``root``; ``train`` is ``root`` if none do.

    ``train`` divides it together with one of the others, or alone if there is no folder beside it.

    Raises:
        UserError: There is no such folder.
    """
    if not root.is_dir():
        raise UserError(
            f"data.root={root} is not a folder. data=image_folder reads <root>/train/<class>/*.png and "
            "<root>/test/<class>/*.png, or <root>/<class>/*.png"
        )
    there = _subfolders(root)
    divided = there == ["train"] or ("train" in there and bool({"val", "test"} & {*there}))
    return (
        {name: root / name for name in ("train", "val", "test") if name in there}
        if divided
        else {"train": root}
    )


def is_without_classes(root: Path) -> bool:
    """Whether there are images to train on but no class folders."""
    if not root.is_dir():
        return False
    train = split_folders(root)["train"]
    return not _subfolders(train) and next(_images(train), None) is not None


def list_images(folder: Path) -> Listing:
    """Look at ``folder/<class>/**``, or at images that lie in the folder itself if it holds no folder.

    In the order of torchvision's ImageFolder. What is hidden, a file or a folder, is left out.

    Raises:
        UserError: There is no image, or a class without one.
    """
    classes = _subfolders(folder)
    if not classes:
        return list_unlabelled(folder)
    files: list[str] = []
    labels: list[int] = []
    digest = hashlib.sha256()
    for label, name in enumerate(classes):
        for path, state in _images(folder / name):
            files.append(os.path.relpath(path, folder))
            labels.append(label)
            digest.update(_described(files[-1], state))
        if not labels or labels[-1] != label:
            raise UserError(f"{folder / name}: found no image, expected files *{', *'.join(SUFFIXES)}")
    loose = sum(_is_image(name) for name in os.listdir(folder))  # noqa: PTH208 - names are all it takes
    return Listing(folder, files, labels, tuple(classes), digest.hexdigest(), loose)


def list_unlabelled(folder: Path) -> Listing:
    """Look at all images below a folder, whatever the folders between.

    Raises:
        UserError: There is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise UserError(f"data.unlabelled={folder} is not a folder; expected one that holds images")
    files, digest = [], hashlib.sha256()
    for path, state in _images(folder):
        files.append(os.path.relpath(path, folder))
        digest.update(_described(files[-1], state))
    if not files:
        raise UserError(
            f"{folder}: found no class folder and no image, expected {folder}/<class>/*.png, or for stage 1 "
            f"alone {folder}/*.png"
        )
    return Listing(folder, files, [UNLABELLED] * len(files), (), digest.hexdigest())


def _subfolders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and entry.name[0] != ".")


def _images(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Path and state of each image below a folder, in the order of their folders and names."""
    for place, _, names in sorted(os.walk(folder, followlinks=True)):
        if f"{os.sep}." in place[len(str(folder)) :]:
            continue
        for name in sorted(filter(_is_image, names)):
            path = os.path.join(place, name)  # noqa: PTH118 - a Path each would take seconds
            yield path, os.stat(path)  # noqa: PTH116


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and name[0] != "."


def _described(file: str, state: os.stat_result) -> bytes:
    return os.fsencode(file) + f"\0{state.st_size}\0{state.st_mtime_ns}\n".encode()
