"""What a command that goes through many files says beside its results, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from dae.errors import UserError
from dae.words import counted, printable

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
        raise UserError(f"{bad:,} of {counted(total, 'file')} could not be read as images; see above")


def with_progress(things: Iterable[T], total: int, words: str, shown: bool = True) -> Iterator[T]:
    """The things, with a progress bar if stderr is a terminal, and ``shown``."""
    if not (shown and sys.stderr.isatty()):
        yield from things
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(things, words, total, console=Console(stderr=True), transient=True)
