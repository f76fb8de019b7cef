"""The page of a sweep: the leaderboard, the effect of each key, the jobs, the commands to go on with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from dae.metrics import is_telling, left_out_words
from dae.report.charts import Dots, dot_chart, parallel_coordinates, scatter
from dae.report.comparison_section import comparison_section, number
from dae.runs.records import read_or_empty, read_run
from dae.sweeps.arms import NOT_GIVEN
from dae.sweeps.cautions import cautions
from dae.sweeps.commands import next_commands
from dae.sweeps.job_names import short_name
from dae.sweeps.jobs import Job
from dae.sweeps.leaderboard import read_board
from dae.sweeps.leaderboard_text import count_by_status, headline
from dae.sweeps.ranking import Group, Leaderboard, mean_std
from dae.text import pluralize

# More would make an unreadable chart; the table holds all of them.
MOST_ROWS = 30
MOST_AXES = 8


@dataclass(frozen=True)
class Chart:
    """A figure with its heading; ``numeric`` is whether it is against all values of a key, as numbers."""

    title: str
    caption: str
    svg: Markup
    numeric: bool = False


def sweep_page(folder: Path, compare: str | None = None, allow_targets: Sequence[str] = ()) -> dict[str, Any]:
    """Everything that ``sweep.html.jinja`` shows.

    Args:
        folder: Of the sweep.
        compare: The key to compare; None takes what the sweep itself compares.
        allow_targets: Packages besides ours whose classes its jobs may name.
    """
    board = read_board(folder, compare)
    measured = _tests(board)
    ceiling = _ceiling(board) if "dae/test/pixel_accuracy" in measured else None
    tests = [name for name in measured if is_telling(name, ceiling)]
    spread, charts = _spread(board), [*_keys(board), *_together(board)]
    if len(board.keys) == 1 and charts:  # both would show the same dots
        spread, charts = (None, charts) if charts[0].numeric else (spread, [])
    return {
        "board": board,
        "comparison": comparison_section(board, allow_targets),
        "title": f"Sweep {folder.name}",
        "headline": headline(board),
        "count": count_by_status(board),
        "tests": tests,
        "left_out": left_out_words(ceiling) if ceiling is not None and tests != measured else None,
        "places": list(zip(board.ranks, board.groups, strict=True)),
        "cautions": list(cautions(board)),
        "spread": spread,
        "charts": charts,
        "importance": importance(folder),
        "search": (folder / "search.md").is_file(),
        "jobs": [(job, _link(job)) for job in board.jobs],
        "failed": [job for job in board.jobs if job.failed],
        "commands": next_commands(board),
    }


def _tests(board: Leaderboard) -> list[str]:
    """The test metrics of the stage that decides."""
    stage = board.objective.name.partition("/")[0] if board.objective else ""
    own = board.objective.name if board.objective else None
    return [name for name in board.metrics if name.startswith(f"{stage}/test/") and name != own]


def _ceiling(board: Leaderboard) -> float | None:
    """The highest pixel accuracy that the targets of any job allow; None if that was not noted."""
    noted = [read_or_empty(read_run, job.folder).get("pixel_accuracy_ceiling") for job in board.jobs]
    return max((ceiling for ceiling in noted if ceiling is not None), default=None)


def _link(job: Job) -> str | None:
    """The page of a job, relative to that of the sweep; None if it has none."""
    there = (job.folder / "report.html").is_file()
    return f"{quote(job.folder.name)}/report.html" if there else None


def _name(group: Group, board: Leaderboard) -> str:
    values = group.jobs[0].values
    told = [f"{short_name(key, board.keys)}={values[key]}" for key in board.keys if key in values]
    return ", ".join(told) or "the defaults"


def _spread(board: Leaderboard) -> Chart | None:
    """A row for each group, its seeds as dots."""
    if board.winner is None or board.objective is None:
        return None
    ranked = [group for group in board.groups if group.scored]
    shown = [_dots(_name(group, board), group.scored, group is ranked[0]) for group in ranked[:MOST_ROWS]]
    more = f" The best {MOST_ROWS} of {len(ranked)}." if len(ranked) > MOST_ROWS else ""
    caption = f"A dot is a seed, the bar the mean, the line one standard deviation to each side.{more}"
    title = "Mean and spread over seeds"
    return Chart(title, caption, dot_chart(title, shown, board.objective.name))


def _dots(label: str, jobs: list[Job], best: bool = False) -> Dots:
    values = [job.value for job in jobs if job.value is not None]
    mean, std = mean_std(values)
    assert mean is not None
    return Dots(label, values, mean, std, best)


def _scored(board: Leaderboard) -> list[Job]:
    return [job for group in board.groups for job in group.scored]


def _keys(board: Leaderboard) -> list[Chart]:
    """The objective against each swept key."""
    found: list[Chart] = []
    jobs = _scored(board)
    if board.objective is None or not jobs:
        return found
    for key in board.keys:
        by_value: dict[str, list[Job]] = {}
        for job in jobs:
            by_value.setdefault(job.values.get(key, NOT_GIVEN), []).append(job)
        title = f"{board.objective.name} against {key}"
        others = "; the other keys vary as well" if len(board.keys) > 1 else ""
        numbers = {value: number(value) for value in by_value if value != NOT_GIVEN}
        if len(by_value) < 2:
            continue
        if len(numbers) > 1 and None not in numbers.values():
            points = [(x, job.value) for value, x in numbers.items() for job in by_value[value]]
            svg = scatter(title, points, key, board.objective.name)  # type: ignore[arg-type]
            lacking = len(jobs) - len(points)
            left_out = f"; without it, and left out: {pluralize(lacking, 'job')}" if lacking else ""
            spread = "the line through the means has one standard deviation to each side"
            caption = f"A dot is a job, {spread}{others}{left_out}."
            found.append(Chart(title, caption, svg, numeric=not lacking))
        else:
            rows = [_dots(value, members) for value, members in by_value.items()]
            rows.sort(key=lambda row: row.mean, reverse=board.objective.mode == "max")
            rows = rows[:MOST_ROWS]
            caption = (
                f"A dot is a job, the bar the mean, the line one standard deviation to each side{others}."
            )
            found.append(Chart(title, caption, dot_chart(title, rows, board.objective.name)))
    return found


def _together(board: Leaderboard) -> list[Chart]:
    """All numeric keys at once, if there are more than one."""
    ranked = [group for group in board.groups if group.scored]
    keys = [
        key
        for key in board.keys
        if len({number(group.jobs[0].values.get(key, "")) for group in ranked} - {None}) > 1
    ][:MOST_AXES]
    rows = []
    for group in ranked:
        values = [number(group.jobs[0].values.get(key, "")) for key in keys]
        numbers = [value for value in [*values, group.mean] if value is not None]
        if len(numbers) == len(keys) + 1:  # a job without one of the keys has no place on its axis
            rows.append((numbers, _name(group, board)))
    if board.objective is None or len(keys) < 2 or len(rows) < 2:
        return []
    title = "All numeric keys together"
    lacking = len(ranked) - len(rows)
    left_out = f" {pluralize(lacking, 'row')} without all of these keys left out." if lacking else ""
    caption = (
        f"A line is a row of the leaderboard: the better its {board.objective.name}, the stronger.{left_out}"
    )
    axes = [short_name(key, keys) for key in keys] + [board.objective.name.rpartition("/")[2]]
    return [Chart(title, caption, parallel_coordinates(title, axes, rows))]


def importance(folder: Path) -> str | None:
    """How much each key mattered, as the search has written it to ``search.md``; None without a search."""
    file = folder / "search.md"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    line = re.search(r"^Importance: .*(?=\.$)", text, re.MULTILINE)
    return line.group().replace("`", "") if line else None
