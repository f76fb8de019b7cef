"""The source ``image_folder``: what lies in a folder of images, as a data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from dae.data.decoding import Decoding, read_images
from dae.data.folder import Listing, list_images, list_unlabelled, split_folders
from dae.data.headers import read_headers
from dae.data.image_set import ImageSet, Split, with_fixed_test
from dae.errors import UserError
from dae.words import counted


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
    if unlabelled is not None:
        _refuse_overlap(unlabelled, root, folders)
    notes = [*read_headers(listings["train"]).notes(how)]
    splits = {}
    for name, listing in listings.items():
        splits[name], left_out = _read_split(listing, root, how, in_memory)
        unused += left_out
    if "test" not in listings:
        _refuse_small(root, classes, splits["train"].labels.tolist())  # of those that were skipped, too
        images = with_fixed_test(splits["train"], classes)
    else:
        images = ImageSet(splits["train"], splits["test"], classes)
    extra = None
    if unlabelled is not None:
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
    """Refuse images without labels among which are those that stage 1 is validated or tested on."""
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
