"""Where the jobs of a sweep lie: each in a folder of its own directly in the sweep's, which Hydra names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dae.errors import Problem

# By what Hydra writes there a folder is known to be a job's.
OUTPUT_SUBDIR = ".hydra"


def layout_problems(config: DictConfig) -> Iterator[Problem]:
    """Why the jobs of a sweep would not be found again, as far as it is known before they begin.

    Args:
        config: The sweep's, with Hydra's own.
    """
    given = config.hydra.output_subdir
    if given != OUTPUT_SUBDIR:
        what = f"found {given!r}, but a sweep knows its jobs by what Hydra writes into {OUTPUT_SUBDIR}"
        yield Problem("hydra.output_subdir", what, "leave it out")
    try:
        subdir = OmegaConf.select(config, "hydra.sweep.subdir", throw_on_missing=True)
    except OmegaConfBaseException:
        return  # it contains something of the job
    yield from subfolder_problems(str(subdir))


def subfolder_problems(subdir: str) -> Iterator[Problem]:
    """Why a job's folder, relative to its sweep's, cannot be one.

    Args:
        subdir: ``hydra.sweep.subdir`` of the job.
    """
    path = PurePath(subdir)
    if len(path.parts) != 1 or ".." in path.parts:
        what = f"found {subdir}, but the jobs of a sweep lie side by side in its folder"
        above = path.parent.as_posix()
        hint = f"put what is before the name into hydra.sweep.dir: {above}" if len(path.parts) > 1 else ""
        yield Problem("hydra.sweep.subdir", what, hint)
