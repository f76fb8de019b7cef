"""The idx files of MNIST and of the sets that are made like it: which can be trusted, and what they hold."""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import zlib
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch

from dae.data.image_set import ImageSet, Split
from dae.errors import UserError
from dae.files import atomic_path
from dae.words import counted, printable, train_command

# Torchvision's class of the packed files knows their md5 sums; these are the unpacked ones'. Of KMNIST there
# are none; but it has as many labels of each class.
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
EQUAL_CLASSES = ("FashionMNIST", "KMNIST")
# Images of all these sets, by the beginning of the files' names, and their side in pixels.
COUNTS = {"train": 60_000, "t10k": 10_000}
SIDE = 28
MOST_BYTES = 2**28  # more than any of the files has


def torchvision_idx(name: str, root: Path, image_size: int, channels: int) -> ImageSet:
    """One of torchvision's MNIST-like classes: its files, addresses and md5 sums, read without unpacking.

    Raises:
        UserError: A file cannot be had, is damaged, or does not fit the others.
    """
    from torchvision import datasets

    dataset = getattr(datasets, name)
    folder = root / name / "raw"
    files: list[tuple[str, str]] = dataset.resources
    missing = [file for file, md5 in files if _trusted(folder / file, md5) is None]
    if missing:
        _download(dataset, folder, missing)
    paths = [path for file, md5 in files if (path := _trusted(folder / file, md5)) is not None]
    unpacked = {path for path in paths if path.suffix != ".gz"}
    arrays = {path: _array(path) for path in paths}
    for path in unpacked:
        _check_content(name, path)

    def split(prefix: str) -> Split:
        images, labels = (
            next(path for path in paths if path.name.startswith(f"{prefix}-{kind}"))
            for kind in ("images", "labels")
        )
        expected = COUNTS[prefix] if {images, labels} & unpacked else len(arrays[labels])
        _check_shapes(arrays, images, labels, expected, len(dataset.classes))
        if labels in unpacked and name in EQUAL_CLASSES:
            _check_equal_classes(labels, arrays[labels])
        return Split(torch.from_numpy(arrays[images])[:, None], torch.from_numpy(arrays[labels]).long())

    train, test = split("train"), split("t10k")
    return ImageSet(
        train.fitted(image_size, channels),
        test.fitted(image_size, channels),
        tuple(dataset.classes),
        notes=train.fitting(image_size, channels),
        unused=_not_verified(name, files, unpacked),
    )


def _trusted(packed: Path, md5: str) -> Path | None:
    """The gz file if its md5 sum is right, else the unpacked file, else None."""
    unpacked = packed.with_suffix("")
    for path in (packed, unpacked):
        if os.path.exists(path) and not _is_there(path):  # noqa: PTH110
            raise UserError(f"{path} is no regular file; expected one of the data set: move it away")
    if _is_there(packed) and _md5(packed) == md5:
        return packed
    return unpacked if _is_there(unpacked) else None


def _is_there(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises errors where it may not ask


def _content(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise UserError(
                f"{path} has {size:,} bytes, far more than that file of the data set; move it away"
            )
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. Make it readable for you") from error


def _md5(file: Path) -> str:
    return hashlib.md5(_content(file), usedforsecurity=False).hexdigest()


def _array(path: Path) -> np.ndarray:
    """An idx file of unsigned bytes (the format is on the MNIST page: magic, sizes, data)."""
    content = _content(path)
    try:
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be unpacked: {error}; delete it to have it loaded again") from error
    offset = 4 + 4 * content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    shape = [int.from_bytes(content[start : start + 4], "big") for start in range(4, offset, 4)]
    if not offset or len(content) != offset + math.prod(shape):
        raise UserError(
            f"{path} is not a whole idx file of unsigned bytes; delete it to have it loaded again"
        )
    return np.frombuffer(bytearray(content), np.uint8, offset=offset).reshape(shape)


def _check_content(name: str, path: Path) -> None:
    expected = UNPACKED.get(name, {}).get(path.name)
    if expected and (found := _md5(path)) != expected:
        raise UserError(
            f"{path} is not {name}'s, or damaged: its md5 is {found}, expected {expected}; delete it to have "
            "it loaded again"
        )


def _check_shapes(
    arrays: dict[Path, np.ndarray], images: Path, labels: Path, expected: int, classes: int
) -> None:
    """Hold the two files of a split against each other and against what is known of the set."""
    shapes = {images: (expected, SIDE, SIDE), labels: (expected,)}
    for path, shape in shapes.items():
        if arrays[path].shape != shape:
            found, wanted = (" x ".join(map(str, sides)) for sides in (arrays[path].shape, shape))
            raise UserError(
                f"{path} holds {found or 'one'} numbers, expected {wanted}, to go with "
                f"{(labels if path == images else images).name}; delete it to have it loaded again"
            )
    if expected and (highest := arrays[labels].max()) >= classes:
        raise UserError(
            f"{labels} holds the label {highest}, expected 0 to {classes - 1}; delete it to have it loaded "
            "again"
        )


def _check_equal_classes(path: Path, labels: np.ndarray) -> None:
    counts = np.bincount(labels)
    if counts.min() != counts.max():
        raise UserError(
            f"{path} is damaged: it has {counts.min():,} to {counts.max():,} labels of a class, expected as "
            "many of each; delete it to have it loaded again"
        )


def _not_verified(name: str, files: list[tuple[str, str]], unpacked: set[Path]) -> tuple[str, ...]:
    """A line, if files were read whose content is known by no md5 sum."""
    names = [path.name for path in sorted(unpacked) if path.name not in UNPACKED.get(name, {})]
    if not names:
        return ()
    what = "not verified, but for their sizes and labels: no md5 sum of the unpacked files is known"
    packed = " ".join(file for file, _ in files if file.removesuffix(".gz") in names)
    return (f"{counted(len(names), 'file')} of {name} {what}. Put the packed ones beside them: {packed}",)


def _download(dataset: type, folder: Path, missing: list[str]) -> None:
    """Load the packed files that are missing, none of which appears before it is whole."""
    from torchvision.datasets.utils import download_url

    mirrors: list[str] = dataset.mirrors  # type: ignore[attr-defined]
    files: list[tuple[str, str]] = dataset.resources  # type: ignore[attr-defined]
    for file, md5 in files:
        errors: list[Exception] = []
        for mirror in mirrors if file in missing else ():
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with atomic_path(folder / file) as temporary:
                    download_url(mirror + file, str(folder), temporary.name, md5)
                break
            except (OSError, RuntimeError, ValueError, HTTPException) as error:
                errors.append(error)
        else:
            if errors:
                raise _not_loaded(dataset.__name__, mirrors, files, folder, errors[-1])


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


def _found(file: Path, md5: str) -> str:
    if not _is_there(file):
        return "(missing)"
    found = _md5(file)
    return "(there)" if found == md5 else f"(there, but its md5 is {found})"
