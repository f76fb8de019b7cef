"""What the operating system has refused to write or to read, in words."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import NoneType

from dae.errors import UserError
from dae.words import path_from_here, quoted_path

FULL = (errno.ENOSPC, errno.EDQUOT)
ELSEWHERE = "or another folder: hydra.run.dir=<folder>, in a sweep hydra.sweep.dir=<folder>"
# Error number -> what is needed.
NEEDED = {
    errno.ENOENT: "what was there when it began: it has been moved or deleted since",
    errno.EROFS: f"a disk that is not read-only, {ELSEWHERE}",
    errno.EACCES: f"the permission to read and write there (ls -ld shows who has it), {ELSEWHERE}",
    errno.EPERM: f"the permission to read and write there (ls -ld shows who has it), {ELSEWHERE}",
    errno.ENOTDIR: f"a folder where there is a file, {ELSEWHERE}",
    errno.EEXIST: f"a folder where there is a file, {ELSEWHERE}",
    errno.ENAMETOOLONG: "a shorter name, of 255 bytes at most on most disks: name=<word>",
    errno.EFBIG: "leave to write larger files (ulimit -f)",
    errno.EMFILE: "leave to open more files (ulimit -n)",
}
# Whose errors have the one that counts behind them.
OTHERS = ("optuna.", "sqlalchemy.")
# What torch says where it keeps the operating system's error to itself.
CUT = re.compile("PytorchStreamWriter.*|unexpected pos.*|open file failed.*|Parent directory.*")


class DiskError(UserError):
    """The run could not write or read a file. Nothing is wrong with the command. Exit code 1."""


def disk_error(error: BaseException | None, folder: Path) -> DiskError | None:
    """What went wrong with which file, and what is needed; None if it was something else.

    Args:
        error: Of a run. One of torch's counts by the operating system's error behind it.
        folder: That the run wrote to, for an error that names no file.
    """
    cause, cut = error, None
    # A checkpoint that torch could not write to its end, a study that Optuna could not.
    while isinstance(cause, RuntimeError) or (cause and type(cause).__module__.startswith(OTHERS)):
        cut = cut or CUT.search(str(cause))
        cause = cause.__cause__ or cause.__context__
    if cut and cause is None:
        number = errno.ENOENT if cut[0].startswith("Parent") else errno.ENOSPC
        cause = OSError(number, f"a checkpoint could not be written to its end ({cut[0]})")
    if isinstance(cause, sqlite3.OperationalError):
        return DiskError(f"{path_from_here(folder)}: the study of the search: {cause}")
    if not isinstance(cause, OSError) or cause.errno is None:
        return None
    place = Path(os.fsdecode(cause.filename)) if isinstance(cause.filename, str | bytes) else folder
    name = path_from_here(place)
    shown = f"{name[:60]}...{name[-20:]} ({len(name)} characters)" if len(name) > 200 else name
    needed = _room(place) if cause.errno in FULL else NEEDED.get(cause.errno, "")
    reason = cause.strerror or os.strerror(cause.errno)
    return DiskError(f"{shown}: {reason}" + (f"\n      needed: {needed}" if needed else ""))


def first_error(error: BaseException | None) -> BaseException | None:
    """What went wrong first, where saving what there was then met a disk that cannot be written to."""
    # A failed look-up is how code asks whether there is something, so what comes after it is no second error.
    while isinstance(error, OSError) and not isinstance(
        error.__context__, NoneType | LookupError | AttributeError
    ):
        error = error.__context__
    return error


def require_user_folder() -> None:
    """Make sure that the folder that the user stands in is there.

    Raises:
        DiskError: It has been deleted.
    """
    try:
        Path.cwd()
    except OSError as error:
        raise DiskError("The folder that you stand in has been deleted: cd to one that is there") from error


@contextmanager
def told_elsewhere() -> Iterator[None]:
    """Keep threads that write files from printing a traceback: the caller is told, too."""
    before = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if not isinstance(arguments.exc_value, OSError):
            before(arguments)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def _room(place: Path) -> str:
    there = next((parent for parent in (place, *place.absolute().parents) if parent.is_dir()), Path())
    free = shutil.disk_usage(there).free / 1e6
    return f"room on its disk, where {free:,.1f} MB are free (df -h {quoted_path(there)}, df -i, quota)"
