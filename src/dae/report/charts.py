"""The charts of the pages, each an SVG in the source of an image."""

from __future__ import annotations

import base64
import io
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dae.pictures.style import BLUE, GREEN, GREY, ORANGE, new_figure, style_axes
from dae.report.scalars import Points
from dae.sweeps.comparison import LABELS, Comparison, Others, estimates
from dae.sweeps.names import short_name
from dae.sweeps.table import SweepTable
from dae.text import format_figure

# More points than a chart has pixels, more rows or panels than one can read: the files hold all of them.
MOST_POINTS, MOST_ROWS, MOST_PANELS = 300, 30, 9
# Of the arms between the first and the last; the marker tells them apart in print, too.
BETWEEN = ((ORANGE, "--", "s"), (GREEN, ":", "D"), (ORANGE, ":", "v"), (GREEN, "--", "P"))


@dataclass(frozen=True)
class Picture:
    """An image of a page.

    Attributes:
        caption: Below it.
        source: Of the image element; None if it could not be read.
        told: What it shows, for those who do not see it.
    """

    caption: str
    source: str | None
    told: str


def png_picture(file: Path, caption: str) -> Picture:
    """A picture that a run has left."""
    content = file.read_bytes()
    if not content.startswith(b"\x89PNG"):
        return Picture(f"{file.name} is no PNG", None, caption)
    return Picture(caption, f"data:image/png;base64,{base64.b64encode(content).decode()}", caption)


def curve_chart(title: str, curves: Mapping[str, Points], mark: float | None) -> Picture:
    """A metric over epochs.

    Args:
        title: What is measured.
        curves: ``train`` and ``val``, each with at least one point.
        mark: The epoch that counts.
    """
    figure = new_figure(4.2, 2.5)
    axes = figure.subplots()
    style_axes(axes, title, "epochs done")
    for name, points in curves.items():
        xs, ys = zip(*[*points[: -1 : -(-len(points) // MOST_POINTS)], points[-1]], strict=True)
        colour, dashes = (ORANGE, "--") if name == "val" else (BLUE, "-")
        axes.plot(xs, ys, dashes, color=colour, marker="o" if len(xs) <= 30 else "", markersize=3, label=name)
    if mark is not None:
        axes.axvline(mark, color=GREY, linewidth=1, linestyle=":")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.legend(fontsize=9, frameon=False)
    told = "; ".join(
        f"{name} from {format_figure(points[0][1])} to {format_figure(points[-1][1])}"
        for name, points in curves.items()
    )
    return _drawn(figure, "", f"{title}: {told}")


def spread_chart(table: SweepTable) -> Picture | None:
    """A row for each group, its seeds as dots; None if no job has been measured."""
    ranked = [group for group in table.groups if group.scored]
    if not ranked or table.objective is None:
        return None
    names = [f"{short_name(key, table.keys)}=" for key in table.keys]
    shown = ranked[:MOST_ROWS]
    labels = [", ".join(f"{n}{group[k]}" for n, k in zip(names, table.keys, strict=True)) for group in shown]
    figure = new_figure(8, 0.8 + 0.3 * len(shown))
    axes = figure.subplots()
    style_axes(axes, "", table.objective.name)
    for row, group in enumerate(shown):
        values = [job.value for job in group.scored]
        mean, std = group.figures(table.objective.name)
        colour = BLUE if row == 0 else ORANGE
        axes.errorbar(mean or 0, row, xerr=std, color=colour, marker="|", markersize=11, mew=2.5)
        axes.plot(values, [row] * len(values), "o", color=colour, alpha=0.7, markersize=4, mew=0)  # type: ignore[arg-type]
    axes.set_yticks(range(len(shown)), [_cut(label or "the defaults", 60) for label in labels])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    more = f" The best {MOST_ROWS} of {len(ranked)}." if len(ranked) > MOST_ROWS else ""
    caption = f"A dot is a seed, the bar the mean, the line one standard deviation to each side.{more}"
    means = "; ".join(
        f"{label}: {format_figure(group.mean)}" for label, group in zip(labels, shown, strict=True)
    )
    return _drawn(figure, caption, f"{table.objective.name}: {means}")


def comparison_chart(comparison: Comparison, chance: float | None) -> Picture | None:
    """The mean of each arm with its 95 % interval, against the most telling of the other columns.

    Args:
        comparison: Of a sweep.
        chance: Accuracy of who says always one of the classes; None where that means nothing.
    """
    key = next((k for k in (LABELS, *comparison.others) if k in comparison.others), None)
    at = comparison.others.index(key) if key else len(comparison.others)
    panels: dict[Others, list[Others]] = {}
    for others in comparison.combinations:
        panels.setdefault((*others[:at], *others[at + 1 :]), []).append(others)
    panels = dict(list(panels.items())[:MOST_PANELS])
    if not any(any(estimates(comparison, others)) for each in panels.values() for others in each):
        return None
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(max(4.6, 3.4 * columns), 3.0 * rows + 0.4)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    is_share = comparison.metric.name.endswith("accuracy")
    keys = [name for name in comparison.others if name != key]
    for number, (rest, combinations) in enumerate(panels.items()):
        axes = grid.flat[number]
        title = ", ".join(f"{short_name(name, keys)}={value}" for name, value in zip(keys, rest, strict=True))
        style_axes(axes, title, "" if key is None else f"{key}{' a class' if key == LABELS else ''}")
        _draw_arms(axes, comparison, combinations, at)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    first = grid.flat[0]
    first.set_ylabel(comparison.metric.name, fontsize=9)
    low, high = first.get_ylim()
    caption = "Mean over seeds, with the 95 % interval of that mean from three seeds on."
    if chance is not None:
        caption = f"{caption} Chance is {chance:.2g}."
        if low - chance < high - low:  # further away it would flatten what is to be told apart
            low = min(low, chance - 0.02)
            for axes in grid.flat:
                axes.axhline(chance, color=GREY, linewidth=1, linestyle=":", label="chance")
    if is_share:
        low, high = max(low, 0.0), min(high, 1.0)
    first.set_ylim(low, high)
    figure.legend(
        *first.get_legend_handles_labels(), loc="outside upper left", ncols=6, fontsize=9, frameon=False
    )
    told = "; ".join(
        f"{comparison.place(others) or comparison.key}: "
        + ", ".join(f"{arm} {format_figure(mean)}" for arm, mean, _ in estimates(comparison, others))
        for combinations in panels.values()
        for others in combinations
    )
    return _drawn(figure, caption, f"{comparison.metric.name}: {told}")


def _draw_arms(axes: Axes, comparison: Comparison, combinations: Sequence[Others], at: int) -> None:
    """One panel: the arms against the values of a column, or side by side where there is none."""
    names = [others[at] if at < len(others) else "" for others in combinations]
    counts = [comparison.labels_per_class.get(others) for others in combinations]
    is_curve = comparison.others[at : at + 1] == (LABELS,) and None not in counts
    places = [float(count or 0) for count in counts] if is_curve else [float(n) for n in range(len(names))]
    for number, arm in enumerate(comparison.arms):
        points = [
            (x, mean, half)
            for x, others in zip(places, combinations, strict=True)
            for name, mean, half in estimates(comparison, others)
            if name == arm
        ]
        colour, dashes, marker = _style(number, len(comparison.arms))
        shift = 0 if is_curve else (number - (len(comparison.arms) - 1) / 2) * 0.12
        axes.errorbar(
            [x + shift for x, *_ in points],
            [mean for _, mean, _ in points],
            yerr=[half for *_, half in points],
            linestyle=dashes if is_curve else "none",
            color=colour,
            marker=marker,
            markersize=5,
            capsize=2,
            label=arm,
        )
    if is_curve:
        axes.set_xscale("log")
        axes.minorticks_off()
    shown = ["all" if is_curve and name == "null" else name.removesuffix("/class") for name in names]
    axes.set_xticks(places, [_cut(name, 14) for name in shown])
    if not is_curve and sum(map(len, shown)) > 30:
        axes.tick_params("x", rotation=30)
    if not is_curve:
        axes.set_xlim(-0.6, len(names) - 0.4)


def _style(number: int, count: int) -> tuple[str, str, str]:
    """Colour, dashes and marker of an arm: the baseline in grey, the last one in blue."""
    if number == 0:
        return GREY, "-", "o"
    return (BLUE, "-", "o") if number == count - 1 else BETWEEN[(number - 1) % len(BETWEEN)]


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _drawn(figure: Figure, caption: str, told: str) -> Picture:
    written = io.BytesIO()
    for text in figure.findobj(lambda artist: hasattr(artist, "set_parse_math")):
        text.set_parse_math(False)  # type: ignore[attr-defined]
    # The same figure gives the same bytes; text stays text, in a font of the reader's.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "dae"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(written, format="svg", metadata={"Date": None})
    return Picture(
        caption, f"data:image/svg+xml;base64,{base64.b64encode(written.getvalue()).decode()}", told
    )
