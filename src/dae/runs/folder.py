"""Who may change a run folder: one process at a time, by a lock of the operating system.

The lock ends with its process, however that ends; it holds between machines if the file system supports that.
The file beside it only says who holds the lock. Of a run on several devices the first process alone locks.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from dae.errors import ConfigError, Problem
from dae.files import write_json
from dae.text import path_from_here, printable

LOCK, OWNER = ".lock", ".owner.json"
# Seconds: ``owner_of`` takes a free lock for a moment, which is no reason to refuse a run.
PATIENCE = 0.5
# As `files.atomic_path` names them.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}")

_held: dict[Path, FileLock] = {}


class InUseError(ConfigError):
    """A run folder is another process's; nothing in it was changed. Exit code 2: the command is refused."""

    def __init__(self, folder: Path) -> None:
        self.owner = _read_owner(folder)
        hint = "wait until that run has ended, or stop it there, or choose another folder"
        super().__init__([Problem(path_from_here(folder), f"a run is going on here: {self.owner}", hint)])


def lock(folder: Path, wait: bool = False) -> None:
    """Make a folder this process's own until ``release``; what dead processes have left half written goes.

    Args:
        folder: Made if it is not there. A folder that is this process's own already remains so.
        wait: Wait until it is free.

    Raises:
        InUseError: It is another process's.
        OSError: It cannot be made or written to; a folder that was not there is not there.
    """
    folder = folder.resolve()
    if folder in _held:
        return
    new, held = not folder.exists(), FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held.acquire(timeout=-1 if wait else PATIENCE, poll_interval=0.05)
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        owner = {"host": socket.gethostname(), "process": os.getpid(), "since": now}
        write_json(folder / OWNER, owner)
        for pattern in (".*", "*/.*"):
            remove_half_written(folder, pattern)
    except Timeout:
        raise InUseError(folder) from None
    except BaseException:
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        held.release()
        raise
    _held[folder] = held


def release(folder: Path) -> None:
    """Give a folder up, if it is this process's. Nothing of the lock remains if its run has a result."""
    held = _held.pop(folder.resolve(), None)
    if held is None:
        return
    with suppress(OSError):  # the lock alone counts, and what went wrong before is to be told
        (folder / OWNER).unlink(missing_ok=True)
        if (folder / "result.json").is_file():  # without one, the lock's file says that a process was here
            (folder / LOCK).unlink(missing_ok=True)
    held.release()


def release_all() -> None:
    """Give up all that is this process's: also what Hydra did not come to run."""
    for folder in list(_held):
        release(folder)


def owner_of(folder: Path) -> str | None:
    """Who owns a folder now, in words; None if nobody does. For readers: they never own one."""
    if not (folder / LOCK).is_file():
        return None
    found = FileLock(folder / LOCK)
    try:
        found.acquire(blocking=False)
    except (Timeout, OSError):  # who may not write there cannot know
        return _read_owner(folder)
    found.release()
    return None


def is_stale(folder: Path) -> bool:
    """Whether a process has owned a folder and nobody does now."""
    return (folder / LOCK).is_file() and owner_of(folder) is None


def _read_owner(folder: Path) -> str:
    try:
        said = json.loads((folder / OWNER).read_text(encoding="utf-8"))
        return printable(f"process {said['process']} on {said['host']}, since {said['since']}")
    except (OSError, ValueError, TypeError, KeyError):  # it has not said so yet
        return "another process"


def remove_half_written(folder: Path, pattern: str = ".*", age: float = 0) -> None:
    """Delete what processes that are gone had not written to its end.

    Args:
        folder: Whose files these are.
        pattern: Where they may lie in it.
        age: Seconds since they were written, at least: where others may be writing now.
    """
    for file in folder.glob(pattern):
        if _TEMPORARY.fullmatch(file.name) and file.is_file() and time.time() - file.stat().st_mtime >= age:
            file.unlink(missing_ok=True)
