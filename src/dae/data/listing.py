"""The files below a folder of images, by split and by class; what their headers say."""

from __future__ import annotations

import os
import re
import statistics
import unicodedata
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from torchvision.datasets import ImageFolder

from dae.data.image_file import ORIENTATION, SUFFIXES, NotAnImageError, is_image, opened
from dae.data.image_set import UNLABELLED
from dae.errors import UserError

# The names of the folders that divide the images, in any case: train, Training, test_set, validation-images.
SPLITS = {
    split: re.compile(rf"({words})([ _-]?(set|data|images))?", re.IGNORECASE)
    for split, words in (
        ("train", "train|training"),
        ("val", "val|valid|validation"),
        ("test", "test|testing"),
    )
}
LOOKED_AT = 1000  # so many headers are read at most
SIDES = (32, 64)  # of images whose side nobody has asked for
GREY_MODES = ("1", "L", "LA", "La", "I", "F")


@dataclass(frozen=True)
class Listing:
    """The images below a folder: their paths from there and their labels, in the order of ``ImageFolder``."""

    folder: Path
    files: list[str]
    labels: list[int]
    classes: tuple[str, ...] = ()


class _Folder(ImageFolder):
    def find_classes(self, directory: str | Path) -> tuple[list[str], dict[str, int]]:
        """Those that are not hidden; two ways to write an umlaut are one class."""
        named = {name: unicodedata.normalize("NFC", name) for name in subfolders(Path(directory))}
        classes = sorted({*named.values()})
        return classes, {name: classes.index(written) for name, written in named.items()}


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder that are not hidden, sorted."""
    return sorted(each.name for each in os.scandir(folder) if each.is_dir() and each.name[0] != ".")


def list_images(folder: Path) -> Listing:
    """``folder/<class>/**``, or the images that lie in the folder itself if it holds no folder.

    Raises:
        UserError: There is no image, or a class without one.
    """
    if not subfolders(folder):
        return list_unlabelled(folder)
    try:
        found = _Folder(folder, is_valid_file=lambda path: is_image(Path(path).name))
    except FileNotFoundError as error:
        raise UserError(f"{folder}: {error}; expected files *{', *'.join(SUFFIXES)}") from error
    files = [os.path.relpath(path, folder) for path, _ in found.samples]
    return Listing(folder, files, [label for _, label in found.samples], tuple(found.classes))


def list_unlabelled(folder: Path) -> Listing:
    """All images below a folder, whatever the folders between.

    Raises:
        UserError: There is no such folder, or no image in it.
    """
    below = (path.relative_to(folder) for path in folder.rglob("*") if is_image(path.name))
    files = sorted(str(path) for path in below if not any(part[0] == "." for part in path.parts))
    if not files:
        raise UserError(f"{folder}: found no image, expected {folder}/<class>/*.png or {folder}/*.png")
    return Listing(folder, files, [UNLABELLED] * len(files))


def split_folders(root: Path) -> dict[str, Path]:
    """The folders of ``train``, ``val`` and ``test`` that divide ``root``; ``train`` is ``root`` if none do.

    Raises:
        UserError: There is no such folder, or it is not clear how it is divided.
    """
    if not root.is_dir():
        raise UserError(
            f"data.root={root} is not a folder. data=image_folder reads <root>/train/<class>/*.png and "
            "<root>/test/<class>/*.png, or <root>/<class>/*.png"
        )
    names = subfolders(root)
    named = [(split, name) for name in names if (split := split_named(name))]
    if not named:
        _refuse_splits_in_names(root, names)
        return {"train": root}
    folders = {split: root / name for split, name in named}
    words = " and ".join(f"{name}/" for _, name in named)
    if len(folders) < len(named):
        raise UserError(f"{root}: two of {words} mean the same split; expected one folder for each")
    alone = len(folders) == 1 and subfolders(next(iter(folders.values())))
    if "train" not in folders or alone:
        raise UserError(f"{root}: found {words} alone; expected train/ and test/, and val/ if you like")
    return folders


def split_named(name: str) -> str | None:
    """The split that a folder of this name holds; None if it is none."""
    return next((split for split, words in SPLITS.items() if words.fullmatch(name)), None)


def _refuse_splits_in_names(root: Path, names: list[str]) -> None:
    """Refuse ``seg_train`` beside ``seg_test``: as classes they would be mixed."""
    words = {name: re.findall(r"[^\W\d_]+", name) for name in names}
    for one, other in combinations(names, 2):
        if len(words[one]) != len(words[other]):
            continue
        differing = [pair for pair in zip(words[one], words[other], strict=True) if pair[0] != pair[1]]
        if len(differing) == 1 and None not in map(split_named, differing[0]):
            raise UserError(
                f"{root}: {one}/ and {other}/ seem to divide the images, and would be read as classes. "
                "Rename them to train and test"
            )


def look_at(listing: Listing) -> tuple[int, int, str]:
    """Side and channels that suit the images of a listing, and what their headers say; nothing is decoded.

    The side is the median one of squares of as many pixels, as a multiple of 4 that is not out of ``SIDES``;
    there is one channel if more images are grey than are not.

    Raises:
        UserError: None of the files can be read.
    """
    sizes, grey = [], 0
    for file in listing.files[:: -(-len(listing.files) // LOOKED_AT)]:
        try:
            with opened(listing.folder / file, verify=False) as image:
                turned = image.getexif().get(ORIENTATION, 1) >= 5
                sizes.append((image.height, image.width) if turned else image.size)
                grey += image.mode.partition(";")[0] in GREY_MODES
        except NotAnImageError:
            continue  # decoding says so
    if not sizes:
        raise UserError(f"{listing.folder}: none of its files can be read as an image")
    sizes.sort(key=lambda size: size[0] * size[1])
    smallest, median, largest = ("{} x {}".format(*sizes[place]) for place in (0, len(sizes) // 2, -1))
    oblong = sum(width != height for width, height in sizes)
    words = f"smallest {smallest}, median {median}, largest {largest}; {oblong:,} not square, {grey:,} grey"
    side = statistics.median((width * height) ** 0.5 for width, height in sizes)
    image_size = min(max(4 * round(side / 4), SIDES[0]), SIDES[1])
    channels = 1 if 2 * grey > len(sizes) else 3
    return image_size, channels, f"width x height of {len(sizes):,} files: {words}"
