"""Hydra's callback of a sweep: where it lies, what it varies, which job begins and ends."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.override_parser.types import Glob
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import OmegaConfBaseException

from dae.errors import UserError, raise_problems
from dae.runs.folder import lock, remove_half_written
from dae.runs.resume import FILE, refuse_other_run
from dae.sweeps.commands import SWEPT
from dae.sweeps.compared import comparison_problems, single_run_problems, sweep_overrides
from dae.sweeps.job_lines import JobLines
from dae.sweeps.layout import layout_problems


class SweepFolder(Callback):
    """Learns from Hydra where the sweep of this process lies, and tells every job what the sweep varies.

    The end of a sweep is noticed by ``launch``, since Hydra calls ``on_multirun_end`` only if no job has
    failed.

    Args:
        swept: Only to be found in the config: ``conf/train.yaml`` names a job's folder by these keys.
    """

    # Those of the sweep that this process has launched; None in a process that only runs jobs.
    lines: ClassVar[JobLines | None] = None
    allow_targets: ClassVar[tuple[str, ...]] = ()

    def __init__(self, swept: Sequence[str] = ()) -> None:
        self.swept = swept

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Refuse to compare where there is one run, and claim its folder before Hydra writes to it.

        Raises:
            SystemExit: Because of a ``UserError``.
        """
        asked = _readable(config.hydra.run)
        if asked is None:
            return
        folder = Path(asked).absolute()
        with _errors_as_exit():
            raise_problems(single_run_problems(config))
            if config.hydra.output_subdir and (folder / FILE).is_file():  # else it goes on with its own
                from dae.config.preflight import with_saved_data  # torch, which the job imports next

                own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
                refuse_other_run(with_saved_data(own, list(config.hydra.overrides.task)), folder)
            lock(folder)

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Note the folder and the swept keys.

        Raises:
            SystemExit: Because of a ``UserError``: the folder holds a sweep that this version cannot
                continue, or the sweep cannot be compared as it asks.
        """
        asked = _readable(config.hydra.sweep)
        if asked is None:
            return
        folder = Path(asked).absolute()
        with _errors_as_exit():
            raise_problems(layout_problems(config))
            raise_problems(comparison_problems(config))
            remove_half_written(folder, age=60)  # another launch of this sweep may be writing there
        SweepFolder.allow_targets = tuple(config.get("allow_targets") or ())
        add_swept_keys(config)
        elsewhere = not config.hydra.launcher._target_.endswith(".BasicLauncher")
        SweepFolder.lines = JobLines(folder, count_jobs(config), elsewhere)

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        """Report on the console that a job of this process begins."""
        if SweepFolder.lines is not None:
            SweepFolder.lines.report_begin(Path(config.hydra.runtime.output_dir))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """Report on the console the result of a job of this process."""
        if SweepFolder.lines is not None:
            folder = Path(config.hydra.runtime.output_dir)
            SweepFolder.lines.report_end(folder, job_return.status == JobStatus.FAILED)


def _readable(node: DictConfig) -> str | None:
    """The folder that a node names; None if it cannot be made out, which Hydra says next, as an error."""
    try:
        return str(node.dir)
    except OmegaConfBaseException:
        return None


@contextmanager
def _errors_as_exit() -> Iterator[None]:
    """Have an error leave the program: Hydra turns the exception of a callback into a warning."""
    try:
        yield
    except UserError as error:
        raise SystemExit(str(error)) from error
    except OSError as error:
        raise SystemExit(str(error)) from UserError(str(error))


def add_swept_keys(config: DictConfig) -> None:
    """Add what the sweep varies to Hydra's overrides.

    Each launcher composes a job, perhaps in another process, from these and from the job's own: nothing else
    of the whole sweep arrives there.
    """
    keys = ",".join(
        f"'{key}'" for key, override in sweep_overrides(config.hydra).items() if override.is_sweep_override()
    )
    with read_write(config.hydra.overrides):
        config.hydra.overrides.hydra.append(f"{SWEPT}=[{keys}]")


def count_jobs(config: DictConfig) -> int:
    """How many jobs a sweep has: each combination of the values of its keys, or the trials of a search.

    0 if that is not known before the sweep runs.
    """
    if "n_trials" in config.hydra.sweeper:
        return int(config.hydra.sweeper.n_trials)
    overrides = sweep_overrides(config.hydra).values()
    if any(isinstance(override.value(), Glob) for override in overrides):
        return 0  # only the sweeper knows what is there
    return math.prod(len(list(o.sweep_iterator())) for o in overrides if o.is_sweep_override())
