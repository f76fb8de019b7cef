"""The config groups that ``conf/`` offers, read from the file names."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from dae.files import read_yaml

# Groups of which several choices can be given at once: 'callbacks=[pictures,early_stopping]'.
LIST_GROUPS = ("callbacks", "logger")


def conf_folder() -> Path:
    """``conf/`` inside the installed package, or two levels above it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parents[1] / "conf"


def typed_folder() -> Path | None:
    """The folder of the user's own configs that this command names: ``--config-dir``."""
    words = [part for word in sys.argv[1:] for part in word.split("=", 1 if word[:1] == "-" else 0)]
    return next((Path(value) for flag, value in pairwise(words) if flag in ("--config-dir", "-cd")), None)


def group_choices(group: str) -> list[str]:
    """The names that ``group=<name>`` accepts, the user's own too; empty where there is no such group."""
    folders = filter(None, (typed_folder(), conf_folder()))
    return sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")})


def group_names() -> list[str]:
    """The names of all groups in ``conf/``, as they are written on the command line."""
    root = conf_folder()
    folders = {file.parent for file in root.rglob("*.yaml")} - {root}
    names = (folder.relative_to(root).as_posix() for folder in folders)
    return sorted(name for name in names if not name.startswith(("hydra", "local")))


def choice_node(group: str, choice: str, folders: Sequence[Path] = ()) -> dict[str, Any]:
    """The keys that ``group=choice`` sets itself, interpolations unresolved; empty if there is no such file.

    Args:
        group: As it is written on the command line.
        choice: A name in it.
        folders: Of the user's own configs (``--config-dir``), looked through before ``conf/``.
    """
    files = (folder / group / f"{choice}.yaml" for folder in (*folders, conf_folder()))
    file = next((file for file in files if file.is_file()), None)
    content: Any = read_yaml(file) if file else {}
    node: dict[str, Any] = {}
    for entry in content.pop("defaults", []):
        if isinstance(entry, str) and entry != "_self_":  # what else there is chooses from a group below
            base = entry.partition("@")[0]
            place, _, name = f"{group}/{base}".rpartition("/") if base[0] != "/" else base[1:].rpartition("/")
            node |= choice_node(place, name, folders)
    return {**node, **content}


@cache
def interpolated_keys() -> frozenset[tuple[str, str]]:
    """Name of a key and ``${another}``, of all that ``conf/`` itself takes from another key."""
    files = (file for file in conf_folder().rglob("*.yaml") if "local" not in file.parts)
    pattern = re.compile(r"^\s*(\w+): (\$\{[^${}]+\})", re.MULTILINE)
    return frozenset(pair for file in files for pair in pattern.findall(file.read_text(encoding="utf-8")))
