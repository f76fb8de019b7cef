"""The config groups that ``conf/`` offers, read from the file names."""

from __future__ import annotations

from pathlib import Path


def conf_folder() -> Path:
    """``conf/`` inside the installed package, or two levels above it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parents[1] / "conf"


def group_choices(group: str) -> list[str]:
    """The names that ``group=<name>`` accepts; empty where there is no such group."""
    return sorted(file.stem for file in (conf_folder() / group).glob("*.yaml"))


def group_names() -> list[str]:
    """All groups of ours, as they are written on the command line."""
    root = conf_folder()
    folders = {file.parent for file in root.rglob("*.yaml")} - {root}
    names = (folder.relative_to(root).as_posix() for folder in folders)
    return sorted(name for name in names if not name.startswith(("hydra", "local")))
