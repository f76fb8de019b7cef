"""What a user can mend. ``launch`` shows these without a traceback."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dae.text import first_line, pluralize, printable


class UserError(Exception):
    """Something outside the code is wrong: a file, a download, a device. Exit code 1."""

    exit_code = 1

    def __str__(self) -> str:
        """What a terminal shows: it obeys no name in it, of a file or of a key, which may be another's."""
        return "\n".join(map(printable, super().__str__().split("\n")))


class CheckpointError(UserError):
    """A checkpoint that is not there, cannot be read, or does not fit."""


class JobError(Exception):
    """Jobs of a sweep have failed and have said so; the arguments are the names of their folders."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a command.

    Attributes:
        where: Full key path, or the override as it was typed.
        what: What was found and what was expected.
        hint: What to type instead; may be empty.
    """

    where: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}"
        return f"{text}\n      {self.hint}" if self.hint else text


class ConfigError(UserError):
    """A command or a config that is refused, with everything that is wrong with it. Exit code 2."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        count = pluralize(len(self.problems), "thing")
        verb = "is" if len(self.problems) == 1 else "are"
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"{count} {verb} wrong with this command:\n{lines}")


def raise_problems(problems: Iterable[Problem]) -> None:
    """Raise a ``ConfigError`` if there are any problems."""
    found = list(dict.fromkeys(problems))
    if found:
        raise ConfigError(found)


def with_place(error: BaseException) -> str:
    """What an error says, and file and line where it arose if that is code of the user's own."""
    libraries = [sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")]
    libraries.append(str(Path(__file__).parent))
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if Path(frame.filename).is_file() and not frame.filename.startswith(tuple(libraries))
    ]
    place = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {first_line(error)}{place}" if own else first_line(error)
