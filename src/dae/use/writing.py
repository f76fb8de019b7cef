"""The files that a command writes: nothing that is there is lost for them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from dae.data.image_file import NotAnImageError
from dae.errors import ConfigError, Problem, UserError, raise_problems
from dae.files import atomic_path
from dae.text import closest_name, path_from_here, pluralize, printable, quoted_path
from dae.use.images import Input, Picture, read_picture

T = TypeVar("T")


def rewrite(
    inputs: Sequence[Input], out: Path, overwrite: bool, change: Callable[[Input, Picture], Tensor]
) -> None:
    """Write what a function makes of each image into a folder; the path of each goes to standard output.

    Args:
        inputs: The images.
        out: The folder, which is new or empty, if ``overwrite`` does not say otherwise.
        overwrite: Whether files in it are replaced; an original never is.
        change: Of a file and its picture, to new levels.

    Raises:
        ConfigError: Something would be overwritten, or two files would be one.
        UserError: A file cannot be written; or, at the end, some could not be read: which, and why.
    """
    raise_problems(_folder_problems(inputs, out, overwrite))
    bad: list[str] = []
    for each in progress(inputs, "images"):
        path = out / each.place
        try:
            picture = read_picture(each.path)
            levels = change(each, picture)
        except NotAnImageError as error:
            bad.append(f"{each.path}: {error}")
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary:
                picture.write(temporary, levels)
        except OSError as error:
            raise UserError(f"{path_from_here(path)} cannot be written: {error.strerror or error}") from error
        print(printable(path_from_here(path)), flush=True)
    raise_bad(bad, len(inputs))


def _folder_problems(inputs: Sequence[Input], out: Path, overwrite: bool) -> Iterator[Problem]:
    where = f"--out {out}"
    if out.exists() and not out.is_dir():
        yield Problem(where, "is no folder, expected one, or the name of a new one")
    elif any(out.resolve() in each.path.resolve().parents for each in inputs):
        yield Problem(where, "images that are meant lie in it", "expected a folder apart from the images")
    elif out.is_dir() and any(out.iterdir()) and not overwrite:
        yield Problem(
            where, "holds something already", "expected a new folder; --overwrite replaces files in it"
        )
    places = Counter(str(each.place).casefold() for each in inputs)
    for each in inputs:
        if places[str(each.place).casefold()] > 1:
            yield Problem(where, f"several images would be written to {out / each.place}", "give one folder")


def raise_bad(bad: Sequence[str], total: int) -> None:
    """Raise a ``UserError`` that lists the files that could not be read, if there are any."""
    if bad:
        listed = "".join(f"\n  - {line}" for line in bad)
        raise UserError(f"{len(bad)} of {pluralize(total, 'file')} could not be used:{listed}")


def progress(things: Sequence[T] | Iterable[T], words: str, total: int | None = None) -> Iterator[T]:
    """The things, with a bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    hidden = not sys.stderr.isatty() or sys.stdout.isatty()  # what is printed would be written over it
    yield from track(things, words, total=total, console=console, transient=True, disable=hidden)


def check_output(path: Path, suffixes: Sequence[str], overwrite: bool) -> str:
    """The ending of a file that is to be written.

    Raises:
        ConfigError: It has another ending, is there already, or has no folder.
    """
    where = f"--out {path}"
    if path.suffix not in suffixes:
        near = closest_name(path.suffix, suffixes) or suffixes[0]
        what = f"ends in {path.suffix or 'no suffix'}, expected {' or '.join(suffixes)}"
        raise ConfigError([Problem(where, what, f"--out {quoted_path(path.with_suffix(near))}")])
    if not path.parent.is_dir():
        hint = f"mkdir -p {quoted_path(path.parent)}"
        raise ConfigError([Problem(where, f"there is no folder {path.parent}", hint)])
    if path.exists() and not (overwrite and path.is_file()):
        raise ConfigError([Problem(where, "is there already", "--overwrite replaces a file")])
    return path.suffix


def require_packages(wanted_by: str, packages: Sequence[str], extra: str) -> None:
    """Make sure that packages are installed which few need.

    Raises:
        UserError: One is not; with the command that installs it.
    """
    if missing := [name for name in packages if find_spec(name) is None]:
        what = f"{wanted_by} needs {' and '.join(missing)}, not installed here"
        raise UserError(f"{what}: pip install -e '.[{extra}]'")
