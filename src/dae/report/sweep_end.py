"""The end of a sweep: its leaderboard on the console, its page, and the names of its failed jobs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from dae.report.write import write_or_warn, write_sweep_report
from dae.runs.folder import owner_of
from dae.sweeps.jobs import GONE, Job, launch_time, start_time
from dae.sweeps.leaderboard import read_board, rebuild_or_warn
from dae.sweeps.leaderboard_text import console_text
from dae.sweeps.ranking import Leaderboard
from dae.text import pluralize


def close_sweep(
    sweep_folder: Path, heard: Iterable[str], ended: bool, allow_targets: Sequence[str] = ()
) -> int:
    """Print the leaderboard and name the failed jobs.

    Args:
        sweep_folder: The folder of the jobs, including those that ran in other processes.
        heard: Names of the jobs that failed in this process.
        ended: Whether all jobs were run; false if the sweep was stopped.
        allow_targets: Packages besides ours whose classes its command admits.

    Returns:
        1 if a job of this sweep has failed, or its leaderboard could not be written, else 0.
    """
    written = rebuild_or_warn(sweep_folder)
    board = written or read_board(sweep_folder)
    if board.jobs:
        write_or_warn(partial(write_sweep_report, allow_targets=allow_targets), sweep_folder)
    jobs = _launched(board)
    if board.jobs:
        print(console_text(board))
    failed, elsewhere = dict.fromkeys(heard, "see its train.log"), {}
    for job in jobs:
        if job.failed:
            failed[job.folder.name] = job.error
        elif owner := owner_of(job.folder):
            elsewhere[job.folder.name] = owner
        elif ended and job.status not in ("completed", "pruned"):
            failed[job.folder.name] = f"{job.status}: {job.error or GONE}"
    if elsewhere:
        names = "".join(f"\n  {name}: {owner}" for name, owner in elsewhere.items())
        print(f"{pluralize(len(elsewhere), 'job')} running elsewhere:{names}")
    if failed:
        names = "".join(f"\n  {name}: {error}" for name, error in failed.items())
        all_jobs = pluralize(max(len(jobs), len(failed)), "job")
        print(f"{len(failed)} of {all_jobs} failed:{names}", file=sys.stderr)
    return int(bool(failed) or written is None)


def _launched(board: Leaderboard) -> list[Job]:
    """The jobs of the last command; a sweep that is continued also holds those of earlier commands."""
    begun = launch_time(board.folder)
    return [job for job in board.jobs if start_time(job.folder) >= begun]
