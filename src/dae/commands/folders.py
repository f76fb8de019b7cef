"""What the folders are that a command is given."""

from __future__ import annotations

from pathlib import Path

from dae.errors import ConfigError, Problem
from dae.sweeps.jobs import read_jobs
from dae.text import quoted_path


def is_run(folder: Path) -> bool:
    """Whether a run has begun in a folder."""
    return any((folder / name).is_file() for name in (".hydra/overrides.yaml", "result.json", "config.yaml"))


def require_sweep(folder: Path, expected: str) -> None:
    """Make sure that a folder is a sweep's.

    Raises:
        ConfigError: It is not; it says what it is, and which are near.
    """
    if read_jobs(folder):
        return
    if is_run(folder):
        found, hint = "is the folder of a run", f"try dae report {quoted_path(folder)}"
    elif is_run(folder.parent):
        found, hint = "lies in the folder of a run", f"try dae report {quoted_path(folder.parent)}"
    else:
        found, hint = "holds no run and no jobs" if folder.is_dir() else "is not a folder", newest_here()
    raise ConfigError([Problem(str(folder), f"{found}, expected that of {expected}", hint)])


def newest_here() -> str:
    """The newest runs and sweeps where the user stands, as a hint; empty if there are none."""
    runs = sorted(Path().glob("outputs/*/result.json")) + sorted(Path().glob("multirun/*/multirun.yaml"))
    newest = sorted((file.parent for file in runs), key=lambda run: run.stat().st_mtime)[-3:]
    return f"the newest here: {', '.join(map(str, newest))}" if newest else ""
