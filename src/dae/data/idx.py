"""The idx files of MNIST and of the sets that are made like it, each of them known by its md5 sum."""

from __future__ import annotations

import gzip
import hashlib
import os
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch

from dae.data.image_set import ImageSet, Split
from dae.errors import UserError
from dae.files import atomic_path
from dae.words import printable, train_command

# Torchvision's class of the packed files knows their md5 sums; these are the unpacked ones'. Of KMNIST there
# are none, so it has to be packed.
UNPACKED = {
    "MNIST": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "FashionMNIST": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}
MOST_BYTES = 2**28  # more than any of the files has


def torchvision_idx(name: str, root: Path, image_size: int, channels: int) -> ImageSet:
    """One of torchvision's MNIST-like classes: its files, addresses and md5 sums, read without unpacking.

    Raises:
        UserError: A file cannot be had.
    """
    from torchvision import datasets

    dataset = getattr(datasets, name)
    folder = root / name / "raw"
    files: list[tuple[str, str]] = dataset.resources

    def known() -> dict[str, bytes]:
        found = {file: _content(folder / file, md5) for file, md5 in files}
        return {file: content for file, content in found.items() if content is not None}

    contents = known()
    if missing := [(file, md5) for file, md5 in files if file not in contents]:
        _download(dataset, folder, missing)
        contents = known()

    def split(prefix: str) -> Split:
        images, labels = (
            _array(next(contents[file] for file in contents if file.startswith(f"{prefix}-{kind}")))
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


def _content(packed: Path, md5: str) -> bytes | None:
    """What is packed in a file whose md5 sum is right, or lies unpacked beside it; None if neither does."""
    unpacked = packed.with_suffix("")
    if (found := _read(packed)) is not None and _md5(found) == md5:
        return gzip.decompress(found)
    known = UNPACKED.get(packed.parents[1].name, {}).get(unpacked.name)
    if (found := _read(unpacked)) is not None and _md5(found) == known:
        return found
    return None


def _read(path: Path) -> bytes | None:
    """The bytes of a file; None if it is not there."""
    if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises errors where it may not ask
        if os.path.exists(path):  # noqa: PTH110
            raise UserError(f"{path} is no regular file; expected one of the data set: move it away")
        return None
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise UserError(
                f"{path} has {size:,} bytes, far more than that file of the data set; move it away"
            )
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. Make it readable for you") from error


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _array(content: bytes) -> np.ndarray:
    """An idx file of unsigned bytes (the format is on the MNIST page: magic, sizes, data)."""
    offset = 4 + 4 * content[3]
    shape = [int.from_bytes(content[start : start + 4], "big") for start in range(4, offset, 4)]
    return np.frombuffer(bytearray(content), np.uint8, offset=offset).reshape(shape)


def _download(dataset: type, folder: Path, missing: list[tuple[str, str]]) -> None:
    """Load the packed files that are missing, none of which appears before it is whole."""
    from torchvision.datasets.utils import download_url

    mirrors: list[str] = dataset.mirrors  # type: ignore[attr-defined]
    files: list[tuple[str, str]] = dataset.resources  # type: ignore[attr-defined]
    for file, md5 in missing:
        for mirror in mirrors:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with atomic_path(folder / file) as temporary:
                    download_url(mirror + file, str(folder), temporary.name, md5)
                break
            except (OSError, RuntimeError, ValueError, HTTPException) as error:
                last = error
        else:
            raise _not_loaded(dataset.__name__, mirrors, files, folder, last)


def _not_loaded(
    name: str, mirrors: list[str], files: list[tuple[str, str]], folder: Path, error: Exception
) -> UserError:
    state = "\n".join(f"    {file}  md5 {md5}  {_found(folder / file, md5)}" for file, md5 in files)
    addresses = "\n".join(f"    {mirror}" for mirror in mirrors)
    return UserError(
        f"{name} could not be downloaded: {str(error).strip() or type(error).__name__}\n"
        f"  Addresses tried:\n{addresses}\n"
        f"  To use it without a network, put these files into {printable(str(folder.absolute()))}:\n{state}\n"
        "  Or name the folder that holds them: data.root=<folder>\n"
        f"  data=digits needs no network: {train_command()} data=digits"
    )


def _found(packed: Path, md5: str) -> str:
    if _content(packed, md5) is not None:
        return "(there)"
    for kind, path in (("", packed), ("unpacked ", packed.with_suffix(""))):
        if (content := _read(path)) is not None:
            return f"({kind}there, but its md5 is {_md5(content)})"
    return "(missing)"
