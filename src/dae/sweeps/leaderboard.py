"""The files of a leaderboard, in the folder of the sweep: ``leaderboard.md`` and two tables."""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path
from typing import Any

from dae.files import write_text_atomically
from dae.sweeps.jobs import read_jobs
from dae.sweeps.leaderboard_text import markdown_text
from dae.sweeps.ranking import Leaderboard, rank_jobs

log = logging.getLogger(__name__)


def rebuild_leaderboard(sweep_folder: Path) -> Leaderboard:
    """Read all jobs and write ``jobs.csv``, ``leaderboard.csv`` and ``leaderboard.md`` beside them.

    Parallel jobs may do this at the same time: each file is replaced as a whole, the last writer wins, and
    the process that launched the sweep does it once more at the end.

    Raises:
        OSError: The folder cannot be written to.
    """
    board = rank_jobs(sweep_folder, read_jobs(sweep_folder))
    if board.jobs:
        write_text_atomically(sweep_folder / "jobs.csv", _csv(jobs_table(board)))
        write_text_atomically(sweep_folder / "leaderboard.csv", _csv(groups_table(board)))
        write_text_atomically(sweep_folder / "leaderboard.md", markdown_text(board))
    return board


def rebuild_or_warn(sweep_folder: Path) -> Leaderboard | None:
    """Rebuild the leaderboard; if that fails, warn: no job may be lost by it."""
    try:
        return rebuild_leaderboard(sweep_folder)
    except OSError as error:
        log.warning("The leaderboard could not be written: %s", error)
        return None


def jobs_table(board: Leaderboard) -> list[list[Any]]:
    """The rows of ``jobs.csv``, the header first: one row a job."""
    figures = ["objective", "value", *board.metrics]
    rows: list[list[Any]] = [
        ["folder", *board.swept, "status", *figures, "seconds", "checkpoint", "signs", "error"]
    ]
    for job in board.jobs:
        values, name = job.values, job.objective.name if job.objective else None
        measured = [name, job.value, *(job.metrics.get(metric) for metric in board.metrics)]
        swept = [values.get(key) for key in board.swept]
        ends = [job.seconds, board.checkpoint(job), " ".join(job.signs), job.error]
        rows.append([job.folder.name, *swept, job.status, *measured, *ends])
    return rows


def groups_table(board: Leaderboard) -> list[list[Any]]:
    """The rows of ``leaderboard.csv``, the header first: one row a group."""
    tests = [name for name in board.metrics if "/test/" in name]
    spread = [f"{name}_{figure}" for name in tests for figure in ("mean", "std")]
    rows: list[list[Any]] = [["rank", *board.keys, "n", "failed", "mean", "std", *spread, "checkpoint"]]
    for place, group in zip(board.ranks, board.groups, strict=True):
        values = group.jobs[0].values
        figures = [figure for name in tests for figure in group.figures(name)]
        best = board.checkpoint(group.scored[0]) if group.scored else None
        head = [place, *(values.get(key) for key in board.keys), len(group.scored), group.failed]
        rows.append([*head, group.mean, group.std, *figures, best])
    return rows


def _csv(rows: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
