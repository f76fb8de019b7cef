"""Where a sweep meets its leaderboard: after each job, and at the end."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from dae.report.words import seconds
from dae.report.write import sweep_report, write_or_warn
from dae.sweeps.jobs import Job
from dae.sweeps.leaderboard import rebuild
from dae.sweeps.page import console
from dae.sweeps.ranking import Leaderboard

log = logging.getLogger(__name__)


class SweepFolder(Callback):
    """Hears from Hydra where the sweep of this process lies: when it has ended, nothing else tells.

    Its end is not heard here, since Hydra calls ``on_multirun_end`` only if no job has failed.
    """

    current: ClassVar[Path | None] = None

    def __init__(self) -> None:
        self.jobs = self.begun = 0
        self.started = 0.0

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Note the folder, and how many jobs are to come."""
        SweepFolder.current = Path(config.hydra.sweep.dir).absolute()
        self.jobs, self.begun = count_jobs(config), 0
        self.started = time.perf_counter()

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        """Say which job of how many begins, and about how long the others take; in one process only."""
        if not self.jobs or SweepFolder.current is None:  # the second: this is a copy in another process
            return
        left = ""
        if self.begun:
            each = (time.perf_counter() - self.started) / self.begun
            left = f", about {seconds(each * (self.jobs - self.begun))} left"
        self.begun += 1
        log.info("Job %d of %d%s", self.begun, self.jobs, left)


def count_jobs(config: DictConfig) -> int:
    """How many jobs a sweep has: each combination of the values of its keys, or the trials of a search.

    0 if it cannot be told.
    """
    sweeper = config.hydra.sweeper
    if "n_trials" in sweeper:
        return int(sweeper.n_trials)
    swept = {key: f"{key}={value}" for key, value in (sweeper.params or {}).items()}
    typed = OverridesParser.create().parse_overrides([*swept.values(), *config.hydra.overrides.task])
    # What is typed takes the place of what the config says.
    by_key = {override.get_key_element(): override for override in typed}
    if any(isinstance(override.value(), Glob) for override in typed):
        return 0  # only the sweeper knows what is there
    return math.prod(len(list(o.sweep_iterator())) for o in by_key.values() if o.is_sweep_override())


def refresh(sweep_folder: Path) -> Leaderboard | None:
    """Rebuild the leaderboard; a folder that cannot be written to is no reason to lose a job."""
    try:
        return rebuild(sweep_folder)
    except OSError as error:
        log.warning("The leaderboard could not be written: %s", error)
        return None


def close_sweep(sweep_folder: Path, heard: Iterable[str], ended: bool) -> int:
    """Print the leaderboard and name the failed jobs.

    Args:
        sweep_folder: Where the jobs lie, also those that other processes have run.
        heard: Names of the jobs that failed in this process.
        ended: Whether all jobs were run; else the sweep was stopped.

    Returns:
        1 if a job of this sweep has failed, else 0.
    """
    board = refresh(sweep_folder)
    if board and board.jobs:
        write_or_warn(sweep_report, sweep_folder)
    jobs = _launched(board) if board else []
    searched = (sweep_folder / "search.md").is_file()  # and has said who is the best
    if board and board.jobs and not searched:
        print(console(board))
    failed = dict.fromkeys(heard, "see its train.log")
    for job in jobs:
        if job.failed:
            failed[job.folder.name] = job.error
        elif ended and job.status not in ("completed", "pruned"):
            failed[job.folder.name] = f"{job.status}: its process has ended without a result"
    if failed:
        names = "".join(f"\n  {name}: {error}" for name, error in failed.items())
        print(f"{len(failed)} of {max(len(jobs), len(failed))} jobs failed:{names}", file=sys.stderr)
    return int(bool(failed))


def _launched(board: Leaderboard) -> list[Job]:
    """The jobs of the last command. A folder that is continued holds those of earlier ones, too."""
    multirun = board.folder / "multirun.yaml"
    begun = multirun.stat().st_mtime_ns if multirun.is_file() else 0  # its sweeper writes it first of all

    def launched(job: Job) -> bool:
        return (job.folder / ".hydra" / "overrides.yaml").stat().st_mtime_ns >= begun

    return [job for job in board.jobs if launched(job)]
