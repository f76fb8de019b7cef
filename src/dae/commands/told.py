"""What a command that goes through many files says beside its results, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from dae.errors import UserError
from dae.text import pluralize, printable

T = TypeVar("T")


@contextmanager
def bad_files_told(total: int) -> Iterator[Callable[[Path, str], None]]:
    """A function that names a bad file and why it is bad; the command goes on, and fails at its end.

    Args:
        total: How many files there are.

    Raises:
        UserError: There was a bad one.
    """
    bad = 0

    def tell(path: Path, why: str) -> None:
        nonlocal bad
        bad += 1
        print(printable(f"{path} cannot be read as an image: {why}"), file=sys.stderr)

    yield tell
    if bad:
        raise UserError(f"{bad:,} of {pluralize(total, 'file')} could not be read as images; see above")


def with_progress(things: Iterable[T], total: int, words: str, shown: bool = True) -> Iterator[T]:
    """The things, with a progress bar if it is to be ``shown`` and stderr is a terminal."""
    if not shown:
        yield from things
        return
    with progress_bar(total, words) as at:
        for number, thing in enumerate(things, 1):
            yield thing
            at(number)


@contextmanager
def progress_bar(total: int, words: str) -> Iterator[Callable[[float], object]]:
    """A function that is told how many are done; if stderr is a terminal, a bar shows it."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import Progress

    # Standard output goes where it went, but for one that would be written over the bar.
    aside = sys.stdout.isatty()
    with Progress(console=Console(stderr=True), transient=True, redirect_stdout=aside) as progress:
        task = progress.add_task(words, total=total)
        yield lambda count: progress.update(task, completed=count)
