"""The format of run folders, noted in ``run.json``: only a version of the same format continues a run."""

from __future__ import annotations

from pathlib import Path

from dae.errors import ConfigError, Problem
from dae.files import DamagedFileError
from dae.runs.records import read_run
from dae.words import path_from_here

# 1 (not noted): a sweep's folders are named after all overrides. 2: after those that the sweep varies.
# 3: validation has each class by its share, labels a seed of their own, an epoch so many steps, stage 1 arms.
FORMAT = 3


def refuse_other_format(folder: Path) -> None:
    """Make sure that this version of the code may continue the run in ``folder``.

    Raises:
        ConfigError: A version with another format has begun it.
        DamagedFileError: ``run.json`` is damaged.
    """
    begun = read_run(folder, changed=True)
    found = begun.get("format", 1)
    if not begun or found == FORMAT:
        return
    commit = (begun.get("git") or {}).get("commit")
    checkout = f" (git checkout {commit:.12})" if commit else ""
    raise ConfigError(
        [
            Problem(
                path_from_here(folder),
                f"begun in format {found} of run folders, and this version continues format {FORMAT} alone",
                f"continue with the version that began it{checkout}, or begin a new one in another folder",
            )
        ]
    )


def refuse_sweep_of_other_format(sweep: Path) -> None:
    """Make sure that this version of the code may continue the sweep in ``sweep``, if there is one.

    Raises:
        ConfigError: A version with another format has begun it.
    """
    for file in sorted(sweep.glob("*/run.json")):
        try:
            refuse_other_format(file.parent)
        except DamagedFileError:
            continue  # its own job says so
        return
