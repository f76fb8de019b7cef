"""Image files made of image files, each in its place in another folder; nothing is lost for them."""

from __future__ import annotations

import os
import sys
import time
import unicodedata
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dae.commands.told import progress_bar
from dae.errors import Problem, UserError, raise_problems
from dae.files import atomic_path
from dae.text import first_few, path_from_here, pluralize, printable
from dae.use.inputs import Input, find_images

if TYPE_CHECKING:
    from torch import Tensor

    from dae.use.picture import Picture

Change = Callable[["Picture", Path, Callable[[float], object]], "Tensor"]
KEPT = """\
What is written: each image under its own name, in the folders in which it lies below those that are given,
in its own format and depth, upright. Transparency, EXIF, colour profile and resolution stay; JPEG keeps its
own compression. Colours of 16 bits are written in 8; grey stays 16. Of animations and files of several pages
the first picture is written, GIF in 256 colours, CMYK as RGB: a line says for which files. The paths of the
new files go to standard output.
"""


def add_folder(parser: ArgumentParser) -> None:
    """``--out`` and ``--overwrite``."""
    words = "the folder that the new files are written to; never the one that the images lie in"
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help=words)
    words = "replace files that are in DIR already; without it nothing is written if there are any"
    parser.add_argument("--overwrite", action="store_true", help=words)


def planned(options: Namespace) -> list[tuple[Input, Path]]:
    """The images that are meant, and where what is made of each is to lie; nothing is written yet.

    Raises:
        ConfigError: There are no images, something would be overwritten, or two would be one.
    """
    plan = [(each, options.out / each.place) for each in find_images(options.images)]
    raise_problems(_problems(plan, options.out, options.overwrite))
    return plan


def _problems(plan: list[tuple[Input, Path]], out: Path, overwrite: bool) -> Iterator[Problem]:
    where = f"--out {out}"
    if os.path.lexists(out) and not out.is_dir():
        yield Problem(where, "is no folder, expected one, or the name of a new one")
        return
    originals = {
        (state.st_dev, state.st_ino) for state in map(_state, (each.path for each, _ in plan)) if state
    }
    there = [path for _, path in plan if os.path.lexists(path)]
    own = [path for path in there if (state := _state(path)) and (state.st_dev, state.st_ino) in originals]
    inside = [each.path for each, _ in plan if out.resolve() in each.path.resolve().parents]
    if own or inside:
        what = f"{first_few(list(map(str, own or inside)))} would be overwritten: an original"
        if not own:
            what = f"images that are meant lie in it: {first_few(list(map(str, inside)))}"
        yield Problem(where, what, "expected a folder apart from the images, or others of them")
    elif there and not overwrite:
        names = first_few([str(path.relative_to(out)) for path in there])
        verb = "is" if len(there) == 1 else "are"
        what = f"{len(there):,} of {pluralize(len(plan), 'file')} {verb} there already"
        yield Problem(where, f"{what}: {names}", "--overwrite replaces them")
    places: dict[str, Path] = {}
    for each, path in plan:
        # Where a disk does not tell A from a, or two ways to write an umlaut, two such names are one.
        first = places.setdefault(unicodedata.normalize("NFC", str(path)).casefold(), each.path)
        if first is not each.path:
            hint = "give a folder that both lie in, or rename one"
            yield Problem(where, f"{first} and {each.path} would both be written to {path}", hint)


def _state(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:  # a link that leads nowhere; or it is told when the file is read
        return None


def rewrite(plan: list[tuple[Input, Path]], options: Namespace, done: str, change: Change) -> None:
    """Write what a function makes of each image; the path of each goes to standard output.

    Args:
        plan: From ``planned``.
        options: Of the command.
        done: What has become of the images, for people: ``denoised``.
        change: Of a picture, its place, and a function that is told the share that is done, to its levels.

    Raises:
        UserError: A file cannot be written; or, at the end, some could not be read: which, and why.
    """
    from dae.data.image_file import NotAnImageError
    from dae.use.picture import read_picture

    bad: list[str] = []
    lost: dict[str, list[str]] = {}
    written, megapixels, heard, began = 0, 0.0, True, time.perf_counter()
    try:
        with progress_bar(len(plan), done) as at:
            for number, (each, path) in enumerate(plan):
                at(number)
                try:
                    picture = read_picture(each.path)
                    levels = change(picture, each.place, partial(_further, at, number))
                except NotAnImageError as error:
                    bad.append(f"{each.path}: {error}")
                    continue
                _write(picture, levels, path, options.overwrite)
                if heard:
                    try:
                        print(printable(path_from_here(path)), flush=True)
                    except BrokenPipeError:  # `| head`: the files are what the command is there for
                        heard = False
                written, megapixels = written + 1, megapixels + levels[0].numel() / 1e6
                for what in picture.lost:
                    lost.setdefault(what, []).append(str(each.path))
    finally:
        for what, names in lost.items():
            print(
                printable(f"Of {pluralize(len(names), 'image')}: {what}: {first_few(names)}"), file=sys.stderr
            )
        seconds = time.perf_counter() - began
        speed = f", {seconds / megapixels:.2f} s a megapixel" if megapixels >= 1 else ""
        into = printable(path_from_here(options.out))
        told = f"{pluralize(written, 'image')} of {len(plan):,} {done}, in {into}: {seconds:.1f} s{speed}"
        print(told, file=sys.stderr)
    if bad:
        listed = "".join(f"\n  - {line}" for line in bad)
        raise UserError(f"{pluralize(len(bad), 'file')} could not be read as an image:{listed}")


def _further(at: Callable[[float], object], number: int, share: float) -> None:
    at(number + share)


def _write(picture: Picture, levels: Tensor, path: Path, overwrite: bool) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            picture.write(temporary, levels)
            if os.path.lexists(path) and not overwrite:
                raise UserError(f"{path_from_here(path)} has been written by somebody else, too: --overwrite")
    except OSError as error:
        raise UserError(f"{path_from_here(path)} cannot be written: {error.strerror or error}") from error
