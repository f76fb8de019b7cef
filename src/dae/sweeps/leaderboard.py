"""The views of a sweep's table: CSV files, ``leaderboard.md``, the console; a column is declared once."""

from __future__ import annotations

import csv
import io
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dae.errors import UserError
from dae.files import write_text_atomically
from dae.sweeps import answer
from dae.sweeps.cautions import cautions
from dae.sweeps.commands import next_commands
from dae.sweeps.comparison import LABELS, Comparison, compare
from dae.sweeps.order import read_order
from dae.sweeps.table import SweepTable, merged, read_table
from dae.text import aligned, format_figure, markdown, path_from_here, pluralize, printable

log = logging.getLogger(__name__)

Shown = dict[str, list[str]]
ROWS_ON_THE_CONSOLE = 10
WIDEST_CELL = 40
BETTER = {"min": "lower is better", "max": "higher is better"}


def read_sweep(folder: Path) -> tuple[SweepTable, Comparison | None]:
    """The table of a sweep, and the comparison that it has been asked for."""
    table, order = read_table(folder), read_order(folder)
    table = merged(table, order.key) if order else table
    return table, compare(table, order)


def write_leaderboard(folder: Path) -> tuple[SweepTable, Comparison | None]:
    """Read all jobs and write the tables beside them; the last of several writers wins.

    Raises:
        OSError: The folder cannot be written to.
        DamagedFileError: What is compared cannot be read.
    """
    table, comparison = read_sweep(folder)
    if comparison:
        write_text_atomically(folder / "comparison.csv", _csv(comparison_columns(comparison)))
    if table.jobs:
        if table.jobs[0].folder.is_dir():  # else they are from there
            write_text_atomically(folder / "jobs.csv", _csv(job_columns(table)))
        write_text_atomically(folder / "leaderboard.csv", _csv(group_columns(table)))
        write_text_atomically(folder / "leaderboard.md", markdown_text(table, comparison))
    return table, comparison


def write_or_warn(folder: Path) -> tuple[SweepTable, Comparison | None] | None:
    """Write the tables; if that fails, warn: no job may be lost by it."""
    try:
        return write_leaderboard(folder)
    except (OSError, UserError) as error:
        log.warning("The leaderboard could not be written: %s", error)
        return None


def job_columns(table: SweepTable) -> dict[str, list[Any]]:
    """``jobs.csv``: a row a job."""
    jobs = table.jobs
    return {
        "folder": [job.folder.name for job in jobs],
        **{key: [job.values[key] for job in jobs] for key in table.keys},
        "seed": [job.seed for job in jobs],
        "status": [job.status for job in jobs],
        "objective": [job.objective.name if job.objective else None for job in jobs],
        "value": [job.value for job in jobs],
        **{name: [job.metrics.get(name) for job in jobs] for name in table.metrics},
        "seconds": [job.seconds for job in jobs],
        "labels_per_class": [job.labels for job in jobs],
        "classes": [job.classes for job in jobs],
        "test_images": [job.images for job in jobs],
        "machine": [job.machine for job in jobs],
        "checkpoint": [f"{job.folder.name}/{job.checkpoint}" if job.checkpoint else None for job in jobs],
        "signs": [" ".join(job.signs) for job in jobs],
        "error": [job.error for job in jobs],
    }


def group_columns(table: SweepTable) -> dict[str, list[Any]]:
    """``leaderboard.csv``: a row a group of seeds, whose metrics are those of each job's ``result.json``."""
    groups, objective = table.groups, table.objective.name if table.objective else None
    tests = [name for name in table.metrics if "/test/" in name]
    best = [group.scored[0] if group.scored else None for group in groups]
    return {
        "rank": table.ranks,
        **{key: [group[key] for group in groups] for key in table.keys},
        "n": [len(group.scored) for group in groups],
        "failed": [group.failed for group in groups],
        "mean": [group.mean for group in groups],
        "std": [group.figures(objective)[1] for group in groups],
        **{
            f"{name}_{figure}": [group.figures(name)[at] for group in groups]
            for name in tests
            for at, figure in enumerate(("mean", "std"))
        },
        "checkpoint": [f"{job.folder.name}/{job.checkpoint}" if job else None for job in best],
    }


def comparison_columns(comparison: Comparison) -> dict[str, list[Any]]:
    """``comparison.csv``: the answer over all, then a row each."""
    rows = comparison.all_rows
    columns: dict[str, list[Any]] = {
        **{key: [row.others[at] for row in rows] for at, key in enumerate(comparison.others)},
        comparison.key: [row.arm for row in rows],
        "baseline": [comparison.baseline for _ in rows],
        "metric": [comparison.metric.name for _ in rows],
        "mean": [row.mean for row in rows],
        "baseline_mean": [row.baseline_mean for row in rows],
        "difference": [row.difference for row in rows],
        "low": [row.low for row in rows],
        "high": [row.high for row in rows],
        "n": [row.n for row in rows],
        "p": [row.p for row in rows],
        "p_adjusted": [row.p_adjusted for row in rows],
        "verdict": [answer.verdict(row) for row in rows],
    }
    if LABELS in comparison.others:
        columns["labels_worth"] = [row.labels_worth and row.labels_worth[0] for row in rows]
    return columns


def shown_groups(table: SweepTable) -> Shown:
    """What people read of ``leaderboard.csv``: without other test metrics than that of the objective."""
    columns = group_columns(table)
    tested = table.objective.name.replace("/val/", "/test/") if table.objective else None
    names = ["rank", *table.keys, "n", "failed", "mean", "std"]
    if tested and table.objective and tested != table.objective.name and f"{tested}_mean" in columns:
        names.append(f"{tested}_mean")
    return {name.removesuffix("_mean"): [_written(cell) for cell in columns[name]] for name in names}


def shown_comparison(comparison: Comparison) -> Shown:
    """What people read of ``comparison.csv``, in points where it is an accuracy; the arm comes first."""
    columns, measure = comparison_columns(comparison), answer.unit(comparison)
    rows = comparison.all_rows
    difference = f"difference ({measure.word})" if measure.word else "difference"
    shown = {name: columns[name] for name in (comparison.key, *comparison.others)}
    shown[difference] = [measure.signed(row.difference) for row in rows]
    shown["95 % interval"] = [measure.interval(row) for row in rows]
    shown["verdict"], shown["n"] = columns["verdict"], columns["n"]
    shown["p-value"] = [_p(row.p) for row in rows]
    shown["p-value (Holm)"] = [_p(row.p_adjusted) for row in rows]
    shown["mean"], shown[f"mean of {comparison.baseline}"] = columns["mean"], columns["baseline_mean"]
    if any(row.labels_worth for row in rows):
        name = f"labels a class that {comparison.baseline} needs"
        shown[name] = [answer.worth_words(row) for row in rows]
    return {name: [_written(cell) for cell in cells] for name, cells in shown.items()}


def sections(table: SweepTable, comparison: Comparison | None) -> Iterator[tuple[str, Shown, list[str]]]:
    """A sentence, a table and what is to be known of it: of a comparison, if there is one; of the ranking."""
    if comparison:
        notes = [f"Note: {words}" for words in answer.notes(comparison)]
        told = [*answer.answer_lines(comparison), *answer.worth(comparison), *notes]
        yield answer.sentence(comparison), shown_comparison(comparison), told
    words = [f"Caution: {sentence}" for sentence in cautions(table, comparison is not None)]
    yield f"{headline(table)}. {count_by_status(table)}", shown_groups(table), words


def markdown_text(table: SweepTable, comparison: Comparison | None) -> str:
    """The text of ``leaderboard.md``."""
    lines = [f"# {markdown(table.folder.name)}"]
    for sentence, columns, notes in sections(table, comparison):
        lines += ["", f"**{markdown(sentence)}.**", "", *(f"* {markdown(line)}." for line in notes), ""]
        lines += markdown_table(columns)
    failed = [f"* {markdown(f'{job.folder.name}: {job.error}')}." for job in table.jobs if job.failed]
    return "\n".join([*lines, *(["", "Failed jobs:", "", *failed] if failed else []), ""])


def console_text(table: SweepTable, comparison: Comparison | None) -> str:
    """The sections, their tables cut short; commands, and where the files are."""
    lines = []
    for sentence, columns, notes in sections(table, comparison):
        rows = [[_clipped(cell) for cell in row] for row in rows_of(columns)]
        lines += [f"{sentence}.", *(f"  {words}" for words in notes)]
        lines += [f"  {line}" for line in aligned(rows[: ROWS_ON_THE_CONSOLE + 1])]
        if (left := len(rows) - 1 - ROWS_ON_THE_CONSOLE) > 0:
            lines.append(f"  ... {left} more in leaderboard.md")
    lines += [f"  {label:<18}  {command}" for label, command in next_commands(table).items()]
    files = "report.html, leaderboard.md and *.csv"
    lines.append(f"  {'where it stands':<18}  {path_from_here(table.folder.absolute())}  ({files})")
    return "\n".join(map(printable, lines))


def headline(table: SweepTable) -> str:
    """Which metric the ranking is by."""
    if table.objective is None:
        return "Leaderboard: no job has been measured yet"
    name, better = table.objective.name, BETTER[table.objective.mode]
    return f"Leaderboard by {name} of the best checkpoint ({better}), mean over seeds"


def count_by_status(table: SweepTable) -> str:
    """How many jobs there are, and how many of them have each status."""
    counts = Counter(job.status for job in table.jobs)
    told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    return f"{pluralize(len(table.jobs), 'job')}: {told}"


def rows_of(columns: dict[str, list[Any]]) -> list[list[Any]]:
    """The rows of a table, the header first."""
    return [[*columns], *map(list, zip(*columns.values(), strict=True))]


def markdown_table(columns: Shown) -> list[str]:
    """The lines of a table in Markdown."""
    head, *rows = rows_of(columns)
    return [f"| {' | '.join(map(markdown, row))} |" for row in (head, ["---"] * len(head), *rows)]


def _csv(columns: dict[str, list[Any]]) -> str:
    text = io.StringIO()
    shown = ([printable(cell) if isinstance(cell, str) else cell for cell in row] for row in rows_of(columns))
    csv.writer(text, lineterminator="\n").writerows(shown)
    return text.getvalue()


def _clipped(text: str) -> str:
    text = printable(text)
    return text if len(text) <= WIDEST_CELL else f"{text[: WIDEST_CELL - 3]}..."


def _written(cell: Any) -> str:
    if cell is None:
        return "-"
    return format_figure(cell) if isinstance(cell, float) else str(cell)


def _p(value: float | None) -> str:
    return "-" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
