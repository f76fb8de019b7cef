"""The tables and figures of README, from the rows that were kept of its studies: ``dae results``."""

from __future__ import annotations

import base64
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from dae.errors import ConfigError, Problem
from dae.metrics import Mode
from dae.report.charts import comparison_chart
from dae.sweeps import answer
from dae.sweeps.comparison import LABELS, Comparison, Others
from dae.sweeps.leaderboard import Shown, markdown_table, read_sweep
from dae.text import markdown

# With more arms, each is a row.
FEW_ARMS = 4


def show_results(folders: Sequence[Path], figures: Path | None) -> None:
    """Print the answer and the table of each study, in Markdown; draw its figure.

    Args:
        folders: Of studies: sweeps, or folders that hold the ``jobs.csv`` of each shard, by any name,
            and the sweep's ``comparison.json``.
        figures: The folder of the figures, each named after its study; None draws none.

    Raises:
        ConfigError: Nothing is compared in one of the folders.
    """
    for folder in folders:
        _, comparison = read_sweep(folder)
        if comparison is None:
            what = "holds nothing that is compared, expected a sweep with comparison.json, or rows of one"
            raise ConfigError([Problem(str(folder), what)])
        name = folder.resolve().name
        print("\n".join([f"## {markdown(name)}", "", *result_lines(comparison), ""]))
        if figures and (chart := comparison_chart(comparison, None)) and chart.source:
            figures.mkdir(parents=True, exist_ok=True)
            (figures / f"{name}.svg").write_bytes(base64.b64decode(chart.source.partition(",")[2]))


def result_lines(comparison: Comparison) -> Iterator[str]:
    """The answer, over all and for each classifier, what labels are worth, and the table."""
    yield f"{answer.sentence(comparison)}."
    yield from (f"* {line}" for line in (*answer.answer_lines(comparison), *answer.worth(comparison)))
    yield from (f"Note: {line}." for line in answer.notes(comparison))
    yield ""
    table = arms_as_columns if len(comparison.arms) <= FEW_ARMS else arms_as_rows
    yield from markdown_table(table(comparison))


def arms_as_columns(comparison: Comparison) -> Shown:
    """A row for each combination of the other keys: means of the arms, what the last gains on the first."""
    last = comparison.arms[-1]
    places = comparison.combinations
    shown = {key: [_word(key, others[at]) for others in places] for at, key in enumerate(comparison.others)}
    for arm in comparison.arms:
        shown[arm] = [_mean(_values(comparison, others, arm)) for others in places]
    word = answer.unit(comparison).word
    gain = f"{last} - {comparison.baseline}{f' ({word})' if word else ''}"
    return {**shown, gain: [_gain(comparison, others, last) for others in places]}


def arms_as_rows(comparison: Comparison) -> Shown:
    """A row for each arm: mean and gain at each combination of the other keys, PSNR under each noise."""
    shown = {comparison.key: list(comparison.arms)}
    for others in comparison.combinations:
        place = ", ".join(map(_word, comparison.others, others)) or "mean"
        cells = [_values(comparison, others, arm) for arm in comparison.arms]
        shown[place] = best_bold(cells, comparison.metric.mode)
        shown[f"{place}: gain"] = [_gain(comparison, others, arm) for arm in comparison.arms]
    for name in sorted({name for job in comparison.jobs.values() for name in job.metrics}):
        if "/test/psnr" in name:
            measured: dict[str, list[float]] = {arm: [] for arm in comparison.arms}
            for (*_, arm), job in comparison.jobs.items():
                measured[arm] += [job.metrics[name]] if name in job.metrics else []
            shown[name.rpartition("/")[2]] = best_bold([*measured.values()], "max")
    return shown


def best_bold(cells: Sequence[Sequence[float]], mode: Mode) -> list[str]:
    """The mean of each cell; the best of them is bold."""
    means = [statistics.fmean(each) if each else None for each in cells]
    best = (min if mode == "min" else max)((mean for mean in means if mean is not None), default=None)
    return [
        f"**{_mean(each)}**" if each and mean == best else _mean(each)
        for each, mean in zip(cells, means, strict=True)
    ]


def _gain(comparison: Comparison, others: Others, arm: str) -> str:
    """``+1.2 (+0.3 to +2.1)``; a dash where nothing is compared."""
    measure = answer.unit(comparison)
    found = (row for row in comparison.all_rows if (row.others, row.arm) == (others, arm))
    return next((f"{measure.signed(row.difference)} ({measure.interval(row)})" for row in found), "-")


def _word(key: str, value: str) -> str:
    return "all labels" if (key, value) == (LABELS, "null") else value


def _values(comparison: Comparison, others: Others, arm: str) -> list[float]:
    scale = answer.unit(comparison).scale
    values = [comparison.value(others, seed, arm) for seed in comparison.seeds]
    return [value * scale for value in values if value is not None]


def _mean(values: Sequence[float]) -> str:
    if not values:
        return "-"
    mean = statistics.fmean(values)
    return f"{mean:.2f}" if mean > 5 else f"{mean:.4f}"  # a share in points, or dB; a loss
