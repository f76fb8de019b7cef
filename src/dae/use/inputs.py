"""The images that a command is given: files, folders, globs, a list."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dae.errors import ConfigError, Problem

LIST = "-"


@dataclass(frozen=True)
class Input:
    """A file that is to be read as an image.

    Attributes:
        path: As it was given, or found below a folder that was.
        place: Its path from that folder; of a file that was given itself, its name.
    """

    path: Path
    place: Path


def find_images(words: Sequence[str]) -> list[Input]:
    """The files that are meant, each once, in the order in which they were given.

    Args:
        words: Files, folders (with all images below them), patterns that the shell has left alone, or ``-``:
            their names are read from standard input, a line each.

    Raises:
        ConfigError: A word is none of these, or there is no image.
    """
    found: dict[Path, Input] = {}
    problems = []
    for word in _named(words):
        inputs = list(_meant(word))
        if not inputs:
            problems.append(Problem(word, *_why_not(Path(word))))
        for each in inputs:
            found.setdefault(each.path.absolute(), each)
    if not problems and not found:
        problems = [Problem("IMAGES", "standard input named no image", "expected a file or folder a line")]
    if problems:
        raise ConfigError(problems)
    return list(found.values())


def _named(words: Sequence[str]) -> Iterator[str]:
    for word in words:
        if word == LIST:
            yield from filter(None, map(str.strip, sys.stdin))
        else:
            yield word


def _meant(word: str) -> Iterator[Input]:
    from dae.data.image_file import is_image  # torch

    path = Path(word)
    if path.is_dir():
        below = sorted(file.relative_to(path) for file in path.rglob("*") if is_image(file.name))
        yield from (Input(path / file, file) for file in below if not any(p[0] == "." for p in file.parts))
    elif path.exists():
        yield Input(path, Path(path.name))
    else:
        for name in sorted(glob.glob(word, recursive=True)):  # noqa: PTH207 - absolute patterns, too
            if is_image(Path(name).name):
                yield Input(Path(name), Path(Path(name).name))


def _why_not(path: Path) -> tuple[str, str]:
    from dae.data.image_file import SUFFIXES  # torch

    if path.is_dir():
        return "a folder without an image", f"expected files *{', *'.join(SUFFIXES)} in it or below it"
    return (
        "no such file or folder, and no pattern of any",
        "expected images, folders of them, or - for a list",
    )
