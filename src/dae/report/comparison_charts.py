"""The figure of a comparison: the metric of each arm, with its 95 % interval over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes

from dae.pictures.style import BLUE, GREEN, GREY, GRID, ORANGE
from dae.report.svg import COLOURS, clip, new_axes, svg
from dae.text import format_figure

DASHES = {"-": "solid", "--": "dashed", ":": "dotted"}
# Of the arms between the first and the last; the marker tells them apart in print, too.
BETWEEN = ((ORANGE, "--", "s"), (GREEN, ":", "D"), (ORANGE, ":", "v"), (GREEN, "--", "P"))


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, and half of its 95 % interval; None for fewer than three seeds."""

    mean: float
    half: float | None


@dataclass(frozen=True)
class Ticks:
    """The values of a key on an axis: where they stand, and as they were given."""

    places: Mapping[str, float]
    log: bool


def arm_styles(arms: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """Colour, dashes and marker of each arm: the baseline in grey, the last one in blue."""
    between = {arm: BETWEEN[number % len(BETWEEN)] for number, arm in enumerate(arms[1:-1])}
    return {arms[0]: (GREY, "-", "o"), **between, arms[-1]: (BLUE, "-", "o")}


def legend_style(style: tuple[str, str, str]) -> str:
    """CSS of an arm's name, underlined as its line is drawn."""
    colour, dashes, _ = style
    return f"border-bottom: 3px {DASHES[dashes]} var(--{COLOURS[colour]})"


def arm_lines(
    title: str,
    arms: Mapping[str, Mapping[str, Estimate]],
    ticks: Ticks,
    x_label: str,
    limits: tuple[float, float],
) -> Markup:
    """A line and a band an arm, against the values of a key.

    Args:
        title: What is shown.
        arms: Arm -> value of the key -> estimate, the arms in their order.
        ticks: The values on the x-axis.
        x_label: What x is.
        limits: Of y, the same in all panels.
    """
    axes = new_axes(2.7, x=f"{x_label}{' (logarithmic)' if ticks.log else ''}", bottom=0.65)
    if ticks.log:
        axes.set_xscale("log")
    for arm, (colour, dashes, marker) in arm_styles(list(arms)).items():
        found = sorted((ticks.places[value], estimate) for value, estimate in arms[arm].items())
        xs, means = [x for x, _ in found], [estimate.mean for _, estimate in found]
        axes.plot(xs, means, dashes, color=colour, marker=marker, markersize=5, linewidth=1.8, gid="line")
        known = [(x, each.mean, each.half) for x, each in found if each.half is not None]
        if known:
            low, high = ([mean + sign * half for _, mean, half in known] for sign in (-1, 1))
            axes.fill_between([x for x, *_ in known], low, high, color=colour, alpha=0.15, lw=0, gid="band")
    axes.set_ylim(*limits)
    axes.minorticks_off()
    axes.set_xticks([*ticks.places.values()], [*ticks.places])
    _part_ticks(axes, ticks)
    return svg(axes, f"{title}. {_told(arms)}")


def arm_dots(
    title: str, rows: Mapping[str, Mapping[str, Estimate]], arms: Sequence[str], x_label: str
) -> Markup:
    """A row for each combination of the other keys: a dot with its interval an arm.

    Args:
        title: What is shown.
        rows: Combination -> arm -> estimate.
        arms: All of them, in their order.
        x_label: What is measured.
    """
    each = 0.2 * len(arms)  # inches
    axes = new_axes(len(rows) * (each + 0.35) + 0.55, x=x_label, left=0.15)
    styles, unit = arm_styles(arms), each + 0.35
    for number, (name, estimates) in enumerate(rows.items()):
        top = number * unit
        axes.axhline(top, color=GRID, linewidth=0.7)
        label = axes.text(0, top + 0.16, clip(name, 44), ha="left", va="center", fontsize=9, parse_math=False)
        label.set_transform(axes.get_yaxis_transform())  # across, x is a share of the width
        for place, arm in enumerate(arms):
            if arm in estimates:
                colour, _, marker = styles[arm]
                mean, half = estimates[arm].mean, estimates[arm].half
                y = top + 0.38 + 0.2 * place
                axes.errorbar(mean, y, xerr=half, color=colour, marker=marker, ms=6, lw=1.8, gid="dots")
    axes.set_ylim(len(rows) * unit, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(True, axis="x", color=GRID, linewidth=0.7)
    return svg(axes, f"{title}. {'; '.join(f'{name}: {_means(found)}' for name, found in rows.items())}")


def _part_ticks(axes: Axes, ticks: Ticks) -> None:
    """Put every other label lower where two would run into each other."""
    low, high = (axes.transData.transform((x, 0))[0] for x in axes.get_xlim())
    labels = sorted(zip(ticks.places.values(), axes.get_xticklabels(), strict=True), key=lambda pair: pair[0])
    ends = [float("-inf"), float("-inf")]
    for x, label in labels:
        middle = (axes.transData.transform((x, 0))[0] - low) / (high - low) * 3.4 * 72  # points
        half = 2.6 * len(label.get_text()) + 3
        row = 0 if middle - half >= ends[0] else 1
        ends[row] = middle + half
        if row:
            label.set_text(f"\n{label.get_text()}")
    axes.set_xticks([x for x, _ in labels], [label.get_text() for _, label in labels])


def _told(arms: Mapping[str, Mapping[str, Estimate]]) -> str:
    return "; ".join(f"{arm}: {_means(found)}" for arm, found in arms.items())


def _means(found: Mapping[str, Estimate]) -> str:
    return ", ".join(f"{name} {format_figure(estimate.mean)}" for name, estimate in found.items())
