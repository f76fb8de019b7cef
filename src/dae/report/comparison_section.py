"""The first section of the page of a sweep that compares a key: the answer, its figure, its tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from dae.report.comparison_charts import Estimate, Ticks, arm_dots, arm_lines, arm_styles, legend_style
from dae.report.reconstructions import reconstructions
from dae.runs.records import read_or_empty, read_run
from dae.sweeps import comparison_answer, comparison_text
from dae.sweeps.arms import compare_arms
from dae.sweeps.comparison import Comparison, Others
from dae.sweeps.paired import half_width
from dae.sweeps.ranking import Leaderboard, mean_std

LABELS = "data.labels"
# More panels, or rows, would make an unreadable figure; the table holds all of them.
MOST_PANELS = 12
MOST_ROWS = 12


def comparison_section(board: Leaderboard, allow_targets: Sequence[str] = ()) -> dict[str, Any] | None:
    """Everything that ``comparison.html.jinja`` shows; None if the sweep compares nothing.

    Args:
        board: Of the sweep.
        allow_targets: Packages besides ours whose classes its jobs may name.
    """
    comparison = compare_arms(board)
    if comparison is None:
        return None
    answer = comparison_answer.answer(comparison)
    signs = comparison_text.signs_by_arm(comparison)
    answering = (comparison.baseline, comparison.arms[-1])
    doubts = [f"{arm}: {signs[arm].partition(':')[0]}" for arm in answering if arm in signs]
    styles = arm_styles(comparison.arms)
    axis = numeric_key(comparison)
    panels = _lines(comparison, axis) if axis else _dots(comparison)
    most = MOST_PANELS if axis else len(panels)
    return {
        "comparison": comparison,
        "question": comparison_answer.question(comparison),
        "answer": f"{answer[0].upper()}{answer[1:]}",
        "evidence": comparison_answer.evidence(comparison),
        "plain": comparison_answer.in_plain_words(comparison),
        # A class of the page.
        "tone": "doubtful" if doubts else comparison.primary.verdict,
        "doubts": doubts,
        # Each arm, its style in the figure, its signs that little was learned.
        "legend": [(arm, legend_style(styles[arm]), signs.get(arm, "")) for arm in comparison.arms],
        # The other key that the figure is against.
        "axis": axis,
        "panels": panels[:most],
        "left_out": max(0, len(panels) - most),
        "table": comparison_text.table(comparison),
        "notes": list(comparison_text.notes(comparison)),
        "cautions": list(comparison_text.cautions(comparison)),
        "picture": reconstructions(comparison, allow_targets),
    }


def numeric_key(comparison: Comparison) -> str | None:
    """The first of the other keys whose values are numbers, or numbers of labels; None if there is none."""
    for index, key in enumerate(comparison.others):
        values = {others[index] for others in comparison.combinations}
        if len(values) > 1 and (key == LABELS or None not in map(number, values)):
            return key
    return None


def key_ticks(comparison: Comparison, key: str) -> Ticks:
    """Where the values of a key stand on an axis: at their numbers, or side by side where one has none."""
    index = comparison.others.index(key)
    values = list(dict.fromkeys(others[index] for others in comparison.combinations))
    numbers = {value: number(value) for value in values}
    if key == LABELS:
        numbers = {value: _labels(comparison, index, value) for value in values}
    names = {value: "all" if (key, value) == (LABELS, "null") else value for value in values}
    known = {names[value]: place for value, place in numbers.items() if place is not None}
    if len(known) < len(values):
        return Ticks({names[value]: float(place) for place, value in enumerate(values)}, log=False)
    low, high = min(known.values()), max(known.values())
    return Ticks(known, log=low > 0 and high >= 10 * low)


def _labels(comparison: Comparison, index: int, value: str) -> float | None:
    """How many labels stage 2 has used, as the first of its jobs says."""
    for (others, *_), job in comparison.jobs.items():
        if others[index] == value and (count := read_or_empty(read_run, job.folder).get("labels")):
            return float(count)
    return number(value)


def _lines(comparison: Comparison, key: str) -> list[tuple[str, Markup]]:
    """A title and a panel of the figure for each combination of the keys that are left."""
    index, ticks = comparison.others.index(key), key_ticks(comparison, key)
    names = dict(
        zip(dict.fromkeys(each[index] for each in comparison.combinations), ticks.places, strict=True)
    )
    found: dict[Others, dict[str, dict[str, Estimate]]] = {}
    for others in comparison.combinations:
        rest = (*others[:index], *others[index + 1 :])
        for arm, estimate in _estimates(comparison, others).items():
            arms = found.setdefault(rest, {name: {} for name in comparison.arms})
            arms[arm][names[others[index]]] = estimate
    all_arms = [each for arms in found.values() for arm in arms.values() for each in arm.values()]
    limits = _limits(comparison, all_arms)
    keys = [*comparison.others[:index], *comparison.others[index + 1 :]]
    panels = []
    for rest, arms in found.items():
        where = ", ".join(f"{name}={value}" for name, value in zip(keys, rest, strict=True))
        title = f"{comparison.metric.name} against {key}{f', {where}' if where else ''}"
        panels.append((where, arm_lines(title, arms, ticks, _axis_label(key), limits)))
    return panels


def _dots(comparison: Comparison) -> list[tuple[str, Markup]]:
    rows = {
        comparison_text.place(comparison, others): estimates
        for others in comparison.combinations
        if (estimates := _estimates(comparison, others))
    }
    names = list(rows)
    pages = [names[at : at + MOST_ROWS] for at in range(0, len(names), MOST_ROWS)]
    title, metric = f"{comparison.metric.name} of each {comparison.key}", comparison.metric.name
    return [
        ("", arm_dots(title, {name: rows[name] for name in page}, comparison.arms, metric)) for page in pages
    ]


def _estimates(comparison: Comparison, others: Others) -> dict[str, Estimate]:
    """The mean of each arm over all seeds that have it."""
    found = {}
    for arm in comparison.arms:
        values = [comparison.value(others, seed, arm) for seed in comparison.seeds]
        there = [value for value in values if value is not None]
        mean = mean_std(there)[0]
        if mean is not None:
            found[arm] = Estimate(mean, half_width(there))
    return found


def _limits(comparison: Comparison, estimates: Sequence[Estimate]) -> tuple[float, float]:
    low = min(each.mean - (each.half or 0) for each in estimates)
    high = max(each.mean + (each.half or 0) for each in estimates)
    if comparison.metric.name.endswith("accuracy"):  # a band may reach past what a share can be
        low, high = max(low, 0.0), min(high, 1.0)
    margin = 0.06 * (high - low) or 0.01
    return low - margin, high + margin


def _axis_label(key: str) -> str:
    return "labels that stage 2 may use" if key == LABELS else key


def number(value: str) -> float | None:
    """The value of a key as a number; None if it is none."""
    try:
        return float(value)
    except ValueError:
        return None
