"""What the headers of images say: sizes, grey or colour. Nothing is decoded."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dae.data.decoding import Decoding
from dae.data.folder import Listing
from dae.data.image_file import NotAnImageError, has_transparency, opened, upright_size
from dae.data.shelf import shelved
from dae.errors import UserError
from dae.words import counted

# So many files are opened at most.
MOST = 1000
BYTES = 200  # about what one header takes in memory
# The sides that are chosen from without being asked for one.
SIDES = (32, 64)
GREY_MODES = ("1", "L", "LA", "La", "I", "F")


@dataclass(frozen=True)
class Header:
    """Of one image: width and height in pixels."""

    size: tuple[int, int]
    grey: bool
    transparent: bool

    @property
    def side(self) -> float:
        """The side of a square with as many pixels."""
        return (self.size[0] * self.size[1]) ** 0.5


@dataclass(frozen=True)
class Headers:
    """Of the images of a listing, or of ``MOST`` of them, evenly spread over it.

    Attributes:
        found: Those that can be read; at least one.
        total: How many files the listing has.
    """

    found: list[Header]
    total: int

    @property
    def median_side(self) -> float:
        """In pixels."""
        return statistics.median(header.side for header in self.found)

    @property
    def image_size(self) -> int:
        """The median side, rounded to a multiple of 4, not out of ``SIDES``."""
        return min(max(4 * round(self.median_side / 4), SIDES[0]), SIDES[1])

    @property
    def channels(self) -> int:
        """1 if more images are grey than are not, else 3."""
        return 1 if 2 * sum(header.grey for header in self.found) > len(self.found) else 3

    def notes(self, how: Decoding) -> Iterator[str]:
        """Lines about the images and what becomes of them."""
        ordered = sorted(self.found, key=lambda header: header.side)
        sizes = ["{} x {}".format(*ordered[place].size) for place in (0, len(ordered) // 2, -1)]
        count = len(self.found)
        looked = f"{count:,} images" if count == self.total else f"{count:,} of {self.total:,} files"
        yield f"width x height of {looked}: smallest {sizes[0]}, median {sizes[1]}, largest {sizes[2]}"
        side, word = how.image_size, "grey" if how.channels == 1 else "colour"
        oblong = sum(header.size[0] != header.size[1] for header in self.found)
        fitted = {"pad": f"padded with {how.background}", "crop": "cropped", "stretch": "stretched"}[how.fit]
        parts = {
            f"resized to {side} x {side}": sum(header.size != (side, side) for header in self.found),
            f"not square and {fitted}": oblong,
            f"turned to {word}": sum(header.grey != (how.channels == 1) for header in self.found),
            f"transparent and laid on {how.background}": sum(header.transparent for header in self.found),
        }
        done = ", ".join(f"{number:,} {what}" for what, number in parts.items() if number)
        yield f"of these {done or 'all are used as they are'}"


def read_headers(listing: Listing) -> Headers:
    """Look at the images of a listing; once for the jobs of a sweep while the folder stays as it is.

    Raises:
        UserError: None of them can be read.
    """
    key = ("headers", listing.folder.absolute(), listing.state)
    return shelved(key, lambda: _looked_at(listing), lambda headers: BYTES * len(headers.found))


def _looked_at(listing: Listing) -> Headers:
    total = len(listing.files)
    count = min(total, MOST)
    chosen = [listing.files[number * total // count] for number in range(count)]
    found = [header for file in chosen if (header := _header(listing.folder / file)) is not None]
    if not found:
        raise UserError(f"{listing.folder}: looked at {counted(count, 'file')}, none can be read as an image")
    return Headers(found, total)


def _header(path: Path) -> Header | None:
    try:
        with opened(path) as image:
            mode = image.mode.partition(";")[0]  # I;16
            return Header(upright_size(image), mode in GREY_MODES, has_transparency(image))
    except NotAnImageError:
        return None  # decoding says so
