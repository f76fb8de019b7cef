"""The files of a leaderboard, in the folder of the sweep: ``leaderboard.md`` and its tables."""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path
from typing import Any

from dae.errors import UserError
from dae.files import write_text_atomically
from dae.sweeps.arms import compare_arms
from dae.sweeps.compared import BASELINE, COMPARISON, saved_comparison
from dae.sweeps.comparison import Comparison
from dae.sweeps.comparison_text import verdict
from dae.sweeps.jobs import read_jobs
from dae.sweeps.leaderboard_text import markdown_text
from dae.sweeps.ranking import Leaderboard, rank_jobs
from dae.text import printable

log = logging.getLogger(__name__)


def read_board(sweep_folder: Path, compare: str | None = None) -> Leaderboard:
    """Read and rank all jobs of a sweep.

    Args:
        sweep_folder: Where they lie.
        compare: The key to compare; None takes what the sweep itself compares.
    """
    return rank_jobs(sweep_folder, read_jobs(sweep_folder), compare or saved_comparison(sweep_folder))


def rebuild_leaderboard(sweep_folder: Path, compare: str | None = None) -> Leaderboard:
    """Read all jobs and write ``leaderboard.md`` and its tables beside them.

    The tables are ``jobs.csv``, ``leaderboard.csv`` and, if a key is compared, ``comparison.csv``. Parallel
    jobs may do this at the same time: each file is replaced as a whole, the last writer wins, and the process
    that launched the sweep does it once more at the end.

    Args:
        sweep_folder: Where they lie.
        compare: The key to compare; None takes what the sweep itself compares.

    Raises:
        OSError: The folder cannot be written to.
    """
    board = read_board(sweep_folder, compare)
    comparison = compare_arms(board)
    if comparison:
        write_text_atomically(sweep_folder / COMPARISON, _csv(comparison_table(comparison)))
    if board.jobs:
        write_text_atomically(sweep_folder / "jobs.csv", _csv(jobs_table(board)))
        write_text_atomically(sweep_folder / "leaderboard.csv", _csv(groups_table(board)))
        write_text_atomically(sweep_folder / "leaderboard.md", markdown_text(board))
    return board


def rebuild_or_warn(sweep_folder: Path) -> Leaderboard | None:
    """Rebuild the leaderboard; if that fails, warn: no job may be lost by it."""
    try:
        return rebuild_leaderboard(sweep_folder)
    except (OSError, UserError) as error:
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


def comparison_table(comparison: Comparison) -> list[list[Any]]:
    """The rows of ``comparison.csv``, the header first: the comparison of all, then a row each."""
    figures = ["mean", "baseline_mean", "difference", "low", "high", "n", "p", "p_adjusted", "verdict"]
    rows: list[list[Any]] = [[*comparison.others, comparison.key, BASELINE, "metric", *figures]]
    for row in (comparison.primary, *comparison.rows):
        others = row.others if row.others is not None else ["all"] * len(comparison.others)
        test = row.test
        measured = [row.mean, row.baseline_mean, test.difference, *(test.interval or (None, None))]
        told = [test.n, test.p, row.p_adjusted, verdict(comparison, row)]
        names = [row.arm, comparison.baseline, comparison.metric.name]
        rows.append([*others, *names, *measured, *told])
    return rows


def _csv(rows: list[list[Any]]) -> str:
    text = io.StringIO()
    shown = ([printable(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    csv.writer(text, lineterminator="\n").writerows(shown)
    return text.getvalue()
