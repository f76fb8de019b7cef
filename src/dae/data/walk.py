"""The files below a folder, whatever else lies there: hidden things, links, loops."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

from dae.errors import UserError
from dae.words import printable

# What systems, archives and file servers leave among a user's files, besides what begins with a point.
LITTER = ("__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found")


class Walk:
    """All files below a folder that are wanted, each real one once: where it lies, not where a link shows it.

    A link is followed to wherever it leads, but for folders that the walk has been in or is below of. Hidden
    files and folders are left out.

    Args:
        folder: Where to begin.
        wanted: Whether a file of this name is.

    Attributes:
        folders: Names of the folders directly below, sorted.
        files: Path from the folder and state of each file that is wanted, in no order.
        others: Paths of the files that are not wanted.
        twice: Paths that lead to what is counted elsewhere.
        nowhere: Links that lead to nothing, but for those that are named like a wanted file.

    Raises:
        UserError: A folder cannot be read.
    """

    def __init__(self, folder: Path, wanted: Callable[[str], bool]) -> None:
        self.folder = folder
        self.wanted = wanted
        self.folders: list[str] = []
        self.files: list[tuple[str, os.stat_result]] = []
        self.others: list[str] = []
        self.twice: list[str] = []
        self.nowhere: list[str] = []
        self._known: set[object] = set(_lines_above(folder))
        self._waiting = deque([("", os.path.realpath(folder))])
        links: deque[str] = deque()
        while self._waiting or links:
            if self._waiting:
                place, real = self._waiting.popleft()
                for entry in _entries(folder / place):
                    path = os.path.join(place, entry.name)  # noqa: PTH118 - a Path each would take seconds
                    if _is_link(entry):
                        links.append(path)
                    else:
                        is_folder = entry.is_dir(follow_symlinks=False)
                        self._take(path, os.path.join(real, entry.name), is_folder, entry.stat)  # noqa: PTH118
            else:  # only now, so that what lies here is found here
                self._follow(links.popleft())
        self.folders.sort()

    def _follow(self, path: str) -> None:
        target = self.folder / path
        try:
            target.stat()
        except OSError:  # it leads nowhere, or in a circle
            if self.wanted(target.name):
                self.files.append((path, target.lstat()))
            else:
                self.nowhere.append(path)
            return
        self._take(path, os.path.realpath(target), target.is_dir(), target.stat)

    def _take(self, path: str, real: str, is_folder: bool, stat: Callable[[], os.stat_result]) -> None:
        if is_folder:
            if self._is_new(path, real):
                self._waiting.append((path, real))
                if os.sep not in path:
                    self.folders.append(path)
        elif not self.wanted(os.path.basename(path)):  # noqa: PTH119
            self.others.append(path)
        else:
            state = stat()
            # A file of several names is the same under each of them.
            if self._is_new(path, (state.st_dev, state.st_ino) if state.st_nlink > 1 else real):
                self.files.append((path, state))

    def _is_new(self, path: str, identity: object) -> bool:
        if identity in self._known:
            self.twice.append(path)
            return False
        self._known.add(identity)
        return True


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted; no hidden ones, no links to where the folder lies.

    Raises:
        UserError: The folder cannot be read.
    """
    above = _lines_above(folder)
    names = [entry.name for entry in _entries(folder) if entry.is_dir()]
    return [name for name in names if os.path.realpath(folder / name) not in above]


def is_folder(path: Path) -> bool:
    """Whether there is a folder; False, too, where that may not be asked, or the name is impossible."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises errors then


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is nothing that a user has put there."""
    return name[0] == "." or name.casefold() in LITTER


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder and is not hidden, sorted by name."""
    try:
        with os.scandir(folder) as entries:
            return sorted((each for each in entries if not is_hidden(each.name)), key=lambda each: each.name)
    except OSError as error:
        raise UserError(
            f"{printable(str(folder))}: this folder of images cannot be read: {error.strerror}. "
            "Make it readable for you, or move it out of the data"
        ) from error


def _lines_above(folder: Path) -> set[str]:
    """The real paths of a folder and of all folders that it lies in."""
    real = Path(os.path.realpath(folder))
    return {str(real), *map(str, real.parents)}


def _is_link(entry: os.DirEntry[str]) -> bool:
    # Windows has another kind, which Python knows of since 3.12.
    return entry.is_symlink() or getattr(entry, "is_junction", lambda: False)()
