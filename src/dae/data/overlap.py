"""Images that two splits share, which makes what is measured on one of them worth little."""

from __future__ import annotations

import hashlib
from itertools import combinations

from dae.data.image_set import ImageSet, Split
from dae.words import counted


def seen_twice(images: ImageSet) -> list[str]:
    """A line on each pair of splits that share images, equal in every byte once they are decoded."""
    named = {
        "training": images.train,
        "unlabelled": images.unlabelled,
        "validation": images.val,
        "test": images.test,
    }
    known = {name: image_digests(split) for name, split in named.items() if split is not None}
    lines = []
    for one, other in combinations(known, 2):
        seen = set(known[one])
        count = sum(digest in seen for digest in known[other])
        if count and other != "unlabelled":  # all of these are trained on
            what = f"the same in every byte as {one} images: what is measured on them promises too much"
            total = counted(len(known[other]), f"{other} image")
            lines.append(f"{count:,} of {total} {'is' if count == 1 else 'are'} {what}")
    return lines


def image_digests(split: Split) -> list[bytes]:
    """What each image is known by: the same for images that are equal in every byte."""
    return [
        hashlib.blake2b(image.numpy().data, digest_size=16).digest()
        for piece in split.images.split(1000)
        for image in piece
    ]
