"""Who may change a run folder: one process at a time, by a lock of the operating system.

The lock ends with its process, however that ends; it holds between machines if the file system supports that.
The file beside it only says who holds the lock. Of a run on several devices the leading process alone claims.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
import socket
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from dae.errors import ConfigError, Problem
from dae.files import links_out, write_json
from dae.words import path_from_here

log = logging.getLogger(__name__)

LOCK, OWNER = ".lock", ".owner.json"
# Seconds: ``owner_of`` takes a free lock for a moment, which is no reason to refuse a run.
PATIENCE = 0.5
# What a file system says that cannot lock: Lustre or NFS, mounted without.
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)
# As `files.atomic_path` names them.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}")

_held: dict[Path, FileLock] = {}


@dataclass(frozen=True)
class Owner:
    """The process that a run folder belongs to; empty where it has not said so yet."""

    host: str = ""
    process: int = 0
    since: str = ""

    def __str__(self) -> str:
        known = f"process {self.process} on {self.host}, since {self.since}"
        return known if self.process else "another process"


class InUseError(ConfigError):
    """A run folder is another process's; nothing in it was changed. Exit code 2: the command is refused."""

    def __init__(self, folder: Path, owner: Owner) -> None:
        self.owner = owner
        hint = "wait until that run has ended, or stop it there, or choose another folder"
        super().__init__([Problem(path_from_here(folder), f"a run is going on here: {owner}", hint)])


def claim(folder: Path, wait: bool = False) -> None:
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
    new = not folder.exists()
    lock = FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _acquire(lock, wait)
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        write_json(folder / OWNER, asdict(Owner(socket.gethostname(), os.getpid(), now)))
        for pattern in (".*", "*/.*"):
            remove_half_written(folder, pattern)
    except Timeout:
        raise InUseError(folder, _read_owner(folder)) from None
    except BaseException:
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        lock.release()
        raise
    _held[folder] = lock


def _acquire(lock: FileLock, wait: bool) -> None:
    try:
        lock.acquire(timeout=-1 if wait else PATIENCE, poll_interval=0.05)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        log.warning("This file system has no locks: nothing keeps a second process out of %s", lock.lock_file)
        Path(lock.lock_file).unlink(missing_ok=True)  # it would say that its process is gone


def release(folder: Path) -> None:
    """Give a folder up, if it is this process's. Nothing of the claim remains if its run has a result."""
    lock = _held.pop(folder.resolve(), None)
    if lock is None:
        return
    with suppress(OSError):  # the lock alone counts, and what went wrong before is to be told
        (folder / OWNER).unlink(missing_ok=True)
        if (folder / "result.json").is_file():  # without one, the lock's file says that a process was here
            (folder / LOCK).unlink(missing_ok=True)
    lock.release()


def release_all() -> None:
    """Give up all that is this process's: also what Hydra did not come to run."""
    for folder in list(_held):
        release(folder)


def owner_of(folder: Path) -> Owner | None:
    """Who owns a folder now; None if nobody does. For readers: they never own one."""
    if not (folder / LOCK).is_file():
        return None
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except (Timeout, OSError):  # who may not write there cannot know
        return _read_owner(folder)
    lock.release()
    return None


def was_left(folder: Path) -> bool:
    """Whether a process has owned a folder and nobody does now."""
    return (folder / LOCK).is_file() and owner_of(folder) is None


def link_problems(folder: Path, names: Collection[str] | None = None) -> Iterator[Problem]:
    """Links by which a run would write into what belongs to somebody else.

    Args:
        folder: Of a run or of a sweep; perhaps somebody else's.
        names: Of what is looked at in it; None is all.
    """
    for link in links_out(folder):
        if link.match("wandb/*/logs/debug-core.log"):
            continue  # wandb's, to its cache; it is never opened again: each process has a folder of its own
        if names is None or link.relative_to(folder).parts[0] in names:
            what = f"leads out of the run folder, to {link.resolve()}, where the run would write"
            yield Problem(path_from_here(link), what, "put the file or folder itself there")


def _read_owner(folder: Path) -> Owner:
    """What a folder says of its owner, perhaps somebody else's folder."""
    try:
        said = json.loads((folder / OWNER).read_text(encoding="utf-8")) if (folder / OWNER).is_file() else {}
        host, since = (re.sub(r"[^\w.:+ -]", "?", str(said[key]))[:100] for key in ("host", "since"))
        return Owner(host, int(said["process"]), since)
    except (OSError, ValueError, TypeError, KeyError):
        return Owner()


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
