"""What a user can mend. ``launch`` shows these without a traceback."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


class UserError(Exception):
    """Something outside the code is wrong: a file, a download, a device. Exit code 1."""

    exit_code = 1


class JobError(Exception):
    """Jobs of a sweep have failed and have said so themselves."""


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
        count = "1 thing is" if len(self.problems) == 1 else f"{len(self.problems)} things are"
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"{count} wrong with this command:\n{lines}")


def raise_all(problems: Iterable[Problem]) -> None:
    """Refuse the command if there are any."""
    found = list(problems)
    if found:
        raise ConfigError(found)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of ``names`` that ``name`` most likely meant, or None."""
    found = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return found[0] if found else None


def assign(key: str, value: object) -> str:
    """``key=value`` as one can paste it: quoted for Hydra where its grammar needs it, then for the shell."""
    text = "null" if value is None else str(value)
    if not re.fullmatch(r"[\w./:+\-]+|\[[\w., -]*\]", text):
        escaped = text.replace('"', r"\"")
        text = f'"{escaped}"'
    return shlex.quote(f"{key}={text}")


def near(path: Path) -> str:
    """The path as one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
