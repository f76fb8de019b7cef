"""The charts of the pages: drawn by matplotlib in the style of the pictures, in the colours of the page."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator

from dae.pictures.style import BLACK, BLUE, GREY, GRID, ORANGE
from dae.report.scalars import Points
from dae.report.svg import ROW, STEPS, WIDTH, clip, needs_log, new_axes, svg
from dae.text import format_figure

# More points than a chart has pixels would only make the page heavy.
MOST_POINTS = 300


@dataclass(frozen=True)
class Line:
    """A named curve."""

    name: str
    points: Points


@dataclass(frozen=True)
class Dots:
    """A row of a dot chart: one value per seed, their mean and its standard deviation."""

    label: str
    values: Sequence[float]
    mean: float
    std: float | None
    best: bool = False


def line_chart(title: str, lines: Sequence[Line], x_label: str, mark: float | None = None) -> Markup:
    """Curves over one x-axis of whole numbers, ``val`` dashed.

    Args:
        title: What is measured.
        lines: At least one, each with at least one point.
        x_label: What x is.
        mark: The x that counts.
    """
    axes = new_axes(x=x_label)
    for line in lines:
        colour, dashes = (ORANGE, "--") if line.name == "val" else (BLUE, "-")
        xs, ys = zip(*_thinned(line.points), strict=True)
        marker = "o" if len(xs) <= 30 else ""
        axes.plot(xs, ys, dashes, color=colour, linewidth=1.5, marker=marker, markersize=4, gid="line")
    if mark is not None:
        axes.axvline(mark, color=GREY, linewidth=1, linestyle=":", gid="mark")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=STEPS))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if len(single := {x for line in lines for x, _ in line.points}) == 1:
        axes.set_xticks([*single])
    return svg(axes, f"{title}. {'; '.join(f'{line.name} {_course(line.points)}' for line in lines)}")


def dot_chart(title: str, rows: Sequence[Dots], x_label: str) -> Markup:
    """A row each: its seeds as dots, their mean as a bar, one standard deviation to both sides as a line.

    Args:
        title: What is compared.
        rows: At least one.
        x_label: What is measured.
    """
    axes = new_axes(len(rows) * ROW + 0.5, x=x_label, left=0.1)
    for number, row in enumerate(rows):
        colour = BLUE if row.best else ORANGE
        axes.axhline(number, color=GRID, linewidth=0.7)
        axes.errorbar(row.mean, number, xerr=row.std, color=colour, marker="|", markersize=11, mew=2.5)
        heights = [number] * len(row.values)
        axes.plot(row.values, heights, "o", color=colour, alpha=0.75, markersize=5, mew=0, gid="dots")
    spreads = [f" ± {format_figure(row.std)}" if row.std is not None else "" for row in rows]
    names = [(row.label, format_figure(row.mean) + spread) for row, spread in zip(rows, spreads, strict=True)]
    _name_rows(axes, names, bold=[number for number, row in enumerate(rows) if row.best])
    axes.grid(False)
    told = "; ".join(f"{row.label}: {format_figure(row.mean)}" for row in rows[:10])
    return svg(axes, f"{title}. {told}")


def scatter(title: str, points: Points, x_label: str, y_label: str) -> Markup:
    """Values against a number; through the means a line, with one standard deviation to both sides.

    Args:
        title: What is shown.
        points: At least one.
        x_label: What x is.
        y_label: What y is.
    """
    by_number: dict[float, list[float]] = {}
    for x, y in sorted(points):
        by_number.setdefault(x, []).append(y)
    numbers, log = list(by_number), needs_log(list(by_number))
    means = [sum(values) / len(values) for values in by_number.values()]
    axes = new_axes(x=f"{x_label}{' (logarithmic)' if log else ''}")
    if 1 < len(means) < len(points):
        spread = [float(np.std(values, ddof=len(values) > 1)) for values in by_number.values()]
        axes.errorbar(numbers, means, spread, color=BLUE, linewidth=1.5, elinewidth=1)
    xs, ys = zip(*points, strict=True)
    axes.plot(xs, ys, "o", color=ORANGE, alpha=0.75, markersize=5, mew=0, gid="dots")
    if log:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    told = ", ".join(
        f"{format_figure(mean)} at {x:g}" for x, mean in list(zip(numbers, means, strict=True))[:10]
    )
    return svg(axes, f"{title}. Mean of {y_label}: {told}")


def parallel_coordinates(
    title: str, names: Sequence[str], rows: Sequence[tuple[Sequence[float], str]]
) -> Markup:
    """A line a row through its value on each axis; the better, the stronger its colour.

    Args:
        title: What is shown.
        names: Of the axes, the objective last.
        rows: The values on the axes and a label, the best first.
    """
    axes = new_axes(width=max(WIDTH, 1.1 * len(names)), left=0.5, right=0.5, top=0.35)
    axes.set_ylim(-0.02, 1.02)
    axes.set_axis_off()
    heights = []
    columns = zip(*(values for values, _ in rows), strict=True)
    for place, (name, column) in enumerate(zip(names, columns, strict=True)):
        values = np.log10(column) if needs_log(column) else np.array(column)
        heights.append((values - values.min()) / np.ptp(values) if np.ptp(values) else 0 * values + 0.5)
        axes.plot([place, place], [0, 1], color=GREY, linewidth=0.8, gid="axis")
        texts = {1.15: clip(name, 17), 1.04: f"{max(column):.4g}", -0.1: f"{min(column):.4g}"}
        for y, text in texts.items():
            colour = BLACK if y == max(texts) else GREY
            axes.text(place, y, text, color=colour, fontsize=9, ha="center", parse_math=False)
    lines = [list(enumerate(row)) for row in zip(*heights, strict=True)]
    strengths = [(1.0, 0.7, 0.5, 0.35, 0.2)[5 * number // len(rows)] for number in range(len(rows))]
    # The best on top.
    axes.add_collection(
        LineCollection(lines[::-1], colors=BLUE, alpha=strengths[::-1], linewidths=1.5, gid="rows")
    )
    return svg(axes, f"{title}. The best: {rows[0][1]}")


def _name_rows(axes: Axes, rows: Sequence[tuple[str, str]], bold: Container[int] = ()) -> None:
    """A name and a figure above each row, row 0 on top."""
    axes.set_ylim(len(rows) - 0.5, -0.8)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    for number, (name, figure) in enumerate(rows):
        for text, x, side in ((clip(name, 38), 0, "left"), (figure, 1, "right")):
            weight = "bold" if number in bold else "normal"
            label = axes.text(x, number - 0.25, text, ha=side, weight=weight, fontsize=9, parse_math=False)
            label.set_transform(axes.get_yaxis_transform())  # across, x is a share of the width


def _thinned(points: Points) -> Points:
    every = -(-len(points) // MOST_POINTS)
    return [*points[:-1:every], points[-1]]


def _course(points: Points) -> str:
    """Its first and its last value."""
    first, last = (format_figure(points[at][1]) for at in (0, -1))
    return last if len(points) == 1 else f"from {first} to {last}"
