"""How things are written for people: figures, times, nouns, paths, nearest names, commands to type."""

from __future__ import annotations

import difflib
import re
import shlex
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def format_figure(value: float | None) -> str:
    """Four digits behind the point, or four that count where those would hide it."""
    if value is None:
        return "–"  # noqa: RUF001
    return f"{value:.4f}" if value == 0 or abs(value) >= 1e-4 else f"{value:.3g}"


def format_duration(value: float | None) -> str:
    """``1 h 02 min``, ``3 min 05 s``, ``12.3 s``."""
    if value is None:
        return "–"  # noqa: RUF001
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def pluralize(number: int, thing: str, things: str | None = None) -> str:
    """``1 epoch``, ``2 epochs``; ``things`` is a plural that is not made by an s."""
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def printable(text: str) -> str:
    """The text with whatever a terminal would not show, or obey, written out: ``\\x1b``, ``\\udcff``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def first_few(names: Sequence[str], most: int = 3) -> str:
    """``a, b, c ...``: the first ``most`` of some names, of files as a rule, and points if there are more."""
    return ", ".join(map(printable, names[:most])) + (" ..." if len(names) > most else "")


def closest_name(name: str, names: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The one of ``names`` that ``name`` most likely meant, or None if none has a likeness of ``cutoff``.

    Case is no difference.
    """
    written = {each.lower(): each for each in names}
    found = difflib.get_close_matches(name.lower(), list(written), n=1, cutoff=cutoff)
    return written[found[0]] if found else None


def quoted_override(key: str, value: object) -> str:
    """``key=value`` as one can paste it: quoted for Hydra where its grammar needs it, then for the shell."""
    text = "null" if value is None else str(value)
    if not re.fullmatch(r"[\w./:+\-]+|\[[\w., -]*\]", text, re.ASCII):
        # Backslashes mean themselves, but before a quote.
        escaped = re.sub(r'(\\*)("|$)', lambda found: 2 * found[1] + found[2].replace('"', r"\""), text)
        text = f'"{escaped}"'
    return shlex.quote(f"{key}={text}")


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """The rows of a table as lines, each of its columns as wide as its widest cell, some flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def markdown(text: str) -> str:
    """A text as Markdown shows it, on one line: nothing in it is HTML, the end of a cell, or a link."""
    plain = printable(" ".join(text.replace("&", "&amp;").replace("<", "&lt;").splitlines()))
    return plain.replace("|", r"\|").replace("](", r"]\(").replace("`", "'")


def quoted_path(path: Path) -> str:
    """The path as an argument of a command that one types where the user stands."""
    return shlex.quote(path_from_here(path))


def train_command() -> str:
    """The beginning of a command that trains: as it was typed; else ``python train.py`` in our clone."""
    typed, ours = Path(sys.argv[0]), Path(__file__).parents[2] / "train.py"
    if typed.name == "train.py":
        return f"python {quoted_path(typed)}"
    in_clone = ours.is_file() and ours.resolve() == Path("train.py").resolve()
    return "python train.py" if in_clone else "dae train"


def command(hydra: Mapping[str, Any], *words: str) -> str:
    """A command line that trains, with the flags that name the configs of a run in front.

    Args:
        hydra: Hydra's own config of the run, or of its sweep.
        *words: Its overrides.
    """
    sources = (hydra.get("runtime") or {}).get("config_sources") or []
    folders = [Path(source["path"]) for source in sources if source["provider"].endswith("command-line")]
    flags = [word for folder in folders for word in ("--config-dir", path_from_here(folder))]
    name = (hydra.get("job") or {}).get("config_name", "train")
    flags += [] if name == "train" else ["--config-name", name]
    return shlex.join([*train_command().split(), *flags, *words])


def run_alone(overrides: Sequence[str]) -> list[str]:
    """The overrides that run a job alone: an experiment that is a sweep would be one again."""
    is_sweep = any(text.startswith("experiment=") for text in overrides)
    return [*(["hydra.mode=RUN"] if is_sweep else []), *overrides]


def import_from_here() -> None:
    """Have packages of the user's found where he stands, behind all that is installed: nothing is hidden."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def path_from_here(path: Path) -> str:
    """The path as one would type it where the user stands."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def first_line(error: BaseException) -> str:
    """What an error says, on one line."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
