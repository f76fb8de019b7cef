"""The source ``image_folder``: what lies in a folder of images, as a data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from dae.data.decoding import NAMED, UNREADABLE, Decoding, read_images
from dae.data.folder import Listing, list_images, list_unlabelled, loose_images, split_folders
from dae.data.headers import read_headers
from dae.data.image_set import ImageSet, Split, with_fixed_test
from dae.data.overlap import seen_twice
from dae.errors import UserError
from dae.words import counted, first_few


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
    how = Decoding(image_size, channels, fit, background, bad_images=bad_images)  # type: ignore[arg-type]
    folders, unused = _used_folders(root, unlabelled, own_validation)
    listings = {name: list_images(folder) for name, folder in folders.items()}
    classes = listings["train"].classes
    for name in listings:
        _refuse_other_classes(root, listings["train"], listings[name])
    if "test" not in listings:
        _refuse_small(root, classes, listings["train"].labels)
    if unlabelled is not None:
        _refuse_overlap(unlabelled, root, folders)
    notes = [*read_headers(listings["train"]).notes(how)]
    read = {name: _read_split(listing, root, how, in_memory) for name, listing in listings.items()}
    if "test" not in listings:
        split = read["train"].split
        _refuse_small(root, classes, split.labels.tolist())  # of those that were skipped, too
        images = with_fixed_test(split, classes)
    else:
        images = ImageSet(read["train"].split, read["test"].split, classes)
    if unlabelled is not None:
        read["unlabelled"] = _read_split(list_unlabelled(unlabelled), unlabelled, how, in_memory)
        count = len(read["unlabelled"].split.labels)
        notes.append(f"{count:,} without labels, from {unlabelled}, for stage 1")
    images = replace(
        images,
        val=read["val"].split if "val" in read else None,
        unlabelled=read["unlabelled"].split if "unlabelled" in read else None,
    )
    unused += [*(line for each in read.values() for line in each.unused), *seen_twice(images)]
    converted = tuple(line for each in read.values() for line in each.converted)
    return replace(
        images,
        notes=(*notes, *converted, *unused),
        converted=converted,
        unused=tuple(unused),
    )


def _used_folders(
    root: Path, unlabelled: Path | None, own_validation: bool
) -> tuple[dict[str, Path], list[str]]:
    """The folders that are read, by what they are for, and a line on what is not as they are called."""
    folders = split_folders(root, unlabelled)
    lines = loose_images(root) if folders["train"] != root else []
    if "val" in folders and not own_validation:
        val = folders.pop("val")
        if "test" in folders:
            lines.append(f"{val} is not used: data.validation=val would validate on it")
        else:
            folders["test"] = val
            lines.append(
                f"{val} is the test set, since there is no test/; validation is cut from {folders['train']}. "
                "data.validation=val would validate on it, and test on a fixed fifth of the training images"
            )
    return folders, lines


def _refuse_other_classes(root: Path, train: Listing, other: Listing) -> None:
    """Refuse classes that only one of two splits has."""
    names = [f"{listing.folder.name}/" for listing in (train, other)]
    have, others = set(train.classes), set(other.classes)
    lacking = [
        f"{name} lacks {', '.join(sorted(missing))}"
        for name, missing in zip(names, (others - have, have - others), strict=True)
        if missing
    ]
    if lacking:
        differing = ", ".join(sorted(have ^ others))
        raise UserError(
            f"{root}: the classes in {names[0]} and in {names[1]} differ: {differing} ({'; '.join(lacking)})."
            " Each class needs a folder with images in both"
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
    """Refuse images without labels among which are those that stage 1 is validated or tested on."""
    place = unlabelled.resolve()
    for folder in (folder.resolve() for folder in folders.values()):
        if place.is_relative_to(folder) or folder.is_relative_to(place):
            raise UserError(
                f"data.unlabelled={unlabelled} and {folder} share images: stage 1 would train on what it is "
                f"tested on. Name a folder outside of data.root={root}"
            )


class ReadSplit(NamedTuple):
    """A split, and a line on each kind of thing that was converted and that was left out."""

    split: Split
    converted: list[str]
    unused: list[str]


def _read_split(listing: Listing, root: Path, how: Decoding, in_memory: bool) -> ReadSplit:
    images, marks = read_images(listing, root, how, in_memory)
    split, unused = Split(images, torch.tensor(listing.labels)), [*listing.unused]
    readable = marks != UNREADABLE
    if not readable.all():
        bad = [file for file, good in zip(listing.files, readable.tolist(), strict=True) if not good]
        files, what = counted(len(bad), "file"), "left out (data.bad_images=skip), no image that can be read"
        unused.append(f"{files} in {listing.folder}: {what}: {first_few(bad, NAMED)}")
        split = split.chosen(readable.nonzero().squeeze(1))
        left = set(split.labels.tolist())
        if gone := [name for label, name in enumerate(listing.classes) if label not in left]:
            raise UserError(
                f"{listing.folder}: without the {files} that cannot be read as an image, no image of "
                f"{', '.join(gone)} is left: {first_few(bad, NAMED)}"
            )
    made = how.conversions(marks[readable])
    total = counted(len(split.labels), "image")
    converted = [f"of {total} in {listing.folder}: {', '.join(made)}"] if made else []
    return ReadSplit(split, converted, unused)
