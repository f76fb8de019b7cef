"""A folder of images as a data set."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import reduce
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal

import torch

from dae.data.decoding import decode_files
from dae.data.image_file import Background, Fit, Preprocessing, is_image
from dae.data.image_set import ImageSet, Split, with_fixed_test
from dae.data.images import ImageDataModule
from dae.data.listing import (
    Listing,
    list_images,
    list_unlabelled,
    look_at,
    split_folders,
    split_named,
    subfolders,
)
from dae.errors import UserError
from dae.text import first_few, pluralize


def image_folder(
    root: Path,
    image_size: int,
    channels: int,
    *,
    fit: Fit = "pad",
    background: Background = "white",
    bad_images: str = "error",
    unlabelled: Path | None = None,
    own_validation: bool = False,
) -> ImageSet:
    """Images in ``root/{train,val,test}/<class>/*``, or in ``root/<class>/*`` with a fixed test split.

    Images without class folders have no labels.

    Raises:
        UserError: They cannot be had, or are not divided as expected.
    """
    how = Preprocessing(image_size, channels, fit, background)  # type: ignore[arg-type]
    folders, lines = _used_folders(root, own_validation)
    listings = {name: list_images(folder) for name, folder in folders.items()}
    train = listings["train"]
    for name, listing in listings.items():
        if differing := sorted({*train.classes} ^ {*listing.classes}):
            raise UserError(f"{root}: the classes of train and {name} differ: {', '.join(differing)}")
    if unlabelled is not None:
        _refuse_overlap(unlabelled, folders)
        listings["unlabelled"] = list_unlabelled(unlabelled)
    splits = {}
    for name, listing in listings.items():
        cache = unlabelled if name == "unlabelled" and unlabelled is not None else root
        splits[name], more = _read_split(listing, cache, how, bad_images)
        lines += more
    if "test" in splits:
        images = ImageSet(splits["train"], splits["test"], train.classes)
    else:
        images = with_fixed_test(splits["train"], train.classes)
    images = replace(images, val=splits.get("val"), unlabelled=splits.get("unlabelled"))
    return replace(images, notes=(look_at(train)[2],), warnings=(*lines, *_seen_twice(images)))


def all_images(root: Path, how: Preprocessing, bad_images: str) -> ImageSet:
    """All images of a folder, whatever splits it has, as a test set.

    Raises:
        UserError: They cannot be had.
    """
    if not root.is_dir():
        raise UserError(f"data.root={root} is not a folder")
    folders = [root / name for name in subfolders(root) if split_named(name)] or [root]
    listings = [list_images(folder) for folder in folders]
    if len(found := {listing.classes for listing in listings}) > 1:
        raise UserError(f"{root}: the classes of its splits differ: {', '.join(map(str, found))}")
    read = [_read_split(listing, root, how, bad_images) for listing in listings]
    whole = reduce(Split.joined, (split for split, _ in read))
    return ImageSet(
        whole, whole, listings[0].classes, warnings=tuple(line for _, more in read for line in more)
    )


def _used_folders(root: Path, own_validation: bool) -> tuple[dict[str, Path], list[str]]:
    """The folders that are read, by what they are for, and a line on what is not as they are called."""
    folders, lines = split_folders(root), []
    if folders["train"] != root:
        others = [name for name in subfolders(root) if root / name not in folders.values()]
        others += [name for name in sorted(os.listdir(root)) if is_image(name)]  # noqa: PTH208
        if others:
            lines.append(f"not used, beside the folders that divide the images: {first_few(others)}")
    if "val" in folders and not own_validation:
        val = folders.pop("val")
        if "test" in folders:
            lines.append(f"{val} is not used: data.validation=val would validate on it")
        else:
            folders["test"] = val
            lines.append(f"{val} is the test set, since there is no test/; validation is cut from train/")
    return folders, lines


def _read_split(
    listing: Listing, cache: Path, how: Preprocessing, bad_images: str
) -> tuple[Split, list[str]]:
    """The images of a listing that can be read, and a line on those that cannot."""
    decoded = decode_files(listing.folder, listing.files, how, cache)
    split, lines = Split(decoded.images, torch.tensor(listing.labels)), []
    if bad := decoded.bad:
        what = f"{pluralize(len(bad), 'file')} in {listing.folder} cannot be read as an image"
        named = "".join(f"\n    {file}: {why}" for file, why in [*bad.items()][:10])
        if bad_images == "error" or len(bad) == len(listing.files):
            raise UserError(f"{what}; data.bad_images=skip leaves such files out:{named}")
        lines.append(f"{what} and left out (data.bad_images=skip): {first_few([*bad])}")
        split = split.chosen(torch.tensor([n for n, file in enumerate(listing.files) if file not in bad]))
        if gone := [name for n, name in enumerate(listing.classes) if n not in split.labels]:
            raise UserError(f"{what}, and no image of {', '.join(gone)} is left:{named}")
    return split, lines


def _refuse_overlap(unlabelled: Path, folders: dict[str, Path]) -> None:
    """Refuse images without labels among which are those that stage 1 is validated or tested on."""
    place = unlabelled.resolve()
    for folder in (folder.resolve() for folder in folders.values()):
        if place.is_relative_to(folder) or folder.is_relative_to(place):
            raise UserError(
                f"data.unlabelled={unlabelled} and {folder} share images: stage 1 would train on what it is "
                "tested on. Name a folder apart from data.root"
            )


def _seen_twice(images: ImageSet) -> list[str]:
    """A line on each pair of splits that share images, equal in every byte once they are decoded."""
    named = {"training": images.train, "unlabelled": images.unlabelled, "validation": images.val}
    named["test"] = images.test
    known = {name: split.digests() for name, split in named.items() if split is not None}
    lines = []
    for one, other in combinations(known, 2):
        seen = {*known[one]}
        count = sum(digest in seen for digest in known[other])
        if count and other != "unlabelled":  # all of these are trained on
            of_all = f"{count:,} of {pluralize(len(known[other]), f'{other} image')}"
            lines.append(f"{of_all} equal {one} images: what is measured on them promises too much")
    return lines


class ImageFolderDataModule(ImageDataModule):
    """Images of the user's own.

    Args:
        *positional: See ``ImageDataModule``.
        fit: Of images that are not square.
        background: What ``fit=pad`` adds, and what lies under transparency.
        bad_images: What becomes of files that are no image.
        unlabelled: A folder of further images, which stage 1 trains on.
        **others: See ``ImageDataModule``.
    """

    def __init__(
        self,
        *positional: Any,
        fit: Fit = "pad",
        background: Background = "white",
        bad_images: Literal["error", "skip"] = "error",
        unlabelled: Path | None = None,
        **others: Annotated[Any, ImageDataModule],
    ) -> None:
        super().__init__(*positional, **others)
        self.fit, self.background, self.bad_images = fit, background, bad_images
        self.unlabelled = None if unlabelled is None else Path(unlabelled)

    @property
    def preprocessing(self) -> Preprocessing:
        """What makes such images of files."""
        return replace(super().preprocessing, fit=self.fit, background=self.background)

    def read(self) -> ImageSet:
        """The images of the folder."""
        own = {key: getattr(self, key) for key in ("fit", "background", "bad_images", "unlabelled")}
        own_validation = self.validation == "val"
        return self.source(self.root, self.image_size, self.channels, own_validation=own_validation, **own)
