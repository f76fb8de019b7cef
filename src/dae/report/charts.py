"""Charts as static SVG: no library, nothing to run, colours from the page's style sheet, light or dark.

Each chart is as wide as its column and has a text that says what it shows, for those who do not see it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dae.report.scalars import Points
from dae.words import format_figure

WIDTH = 420
# More points than a chart has pixels would only make the page heavy.
MOST_POINTS = 300
# Tooltips are a third of a chart's bytes.
MOST_TOOLTIPS = 300


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """An SVG element; what is no markup yet is escaped. ``class_`` is ``class``, ``x_y`` is ``x-y``."""
    given = [(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items()]
    written = Markup().join(
        Markup(' {}="{}"').format(key, f"{value:.5g}" if isinstance(value, float) else value)
        for key, value in given
        if value is not None
    )
    inside = Markup().join(children)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, inside)


@dataclass(frozen=True)
class Scale:
    """Values to pixels.

    Args:
        low: The value at pixel ``start``.
        high: The value at pixel ``end``, not less.
        start: May be more than ``end``: pixels count downwards.
        end: See ``start``.
        log: Whether equal ratios are equally far apart; both values are positive then.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value; the middle, if there is only one value."""
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        share = (at - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Some round values."""
        if self.low == self.high:
            return [self.low]
        if self.log:
            exponents = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high)) + 1)
            return [10.0**n for n in exponents] if len(exponents) > 1 else [self.low, self.high]
        rough = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(number * step, 12) for number in range(first, last + 1)]


@dataclass(frozen=True)
class Line:
    """A named curve."""

    name: str
    points: Points


@dataclass(frozen=True)
class Dots:
    """A row of a dot chart: a value each seed, their mean and its standard deviation."""

    label: str
    values: Sequence[float]
    mean: float
    std: float | None
    best: bool = False


def line_chart(title: str, lines: Sequence[Line], x_label: str, mark: float | None = None) -> Markup:
    """Curves over one x-axis, the second one dashed.

    Args:
        title: What is measured.
        lines: At least one, each with at least one point.
        x_label: What x is.
        mark: The x that counts.
    """
    points = [point for line in lines for point in line.points]
    left, right, top, bottom = 52.0, WIDTH - 12.0, 12.0, 192.0
    x = Scale(*_range([px for px, _ in points], margin=0), left, right)
    y = Scale(*_range([py for _, py in points]), bottom, top)
    parts: list[str] = [_axes(x, y, x_label)]
    if mark is not None and x.low <= mark <= x.high:
        parts.append(tag("line", x1=x(mark), x2=x(mark), y1=top, y2=bottom, class_="mark"))
    for number, line in enumerate(lines):
        thin = _thinned(line.points)
        if len(thin) > 1:
            path = " ".join(f"{x(px):.1f},{y(py):.1f}" for px, py in thin)
            parts.append(tag("polyline", points=path, class_=f"line s{number}"))
        if len(thin) <= 30:
            parts += [
                _dot(x(px), y(py), f"s{number}", f"{line.name}, {x_label} {px:g}: {format_figure(py)}")
                for px, py in thin
            ]
    told = "; ".join(f"{line.name} {_course(line.points)}" for line in lines)
    return _svg(f"{title}. {told}", 232, parts)


def dot_chart(title: str, rows: Sequence[Dots], x_label: str) -> Markup:
    """A row each: its seeds as dots, their mean as a bar, a standard deviation to both sides as a line.

    Args:
        title: What is compared.
        rows: At least one.
        x_label: What is measured.
    """
    extremes = [value for row in rows for value in row.values]
    extremes += [row.mean + side * row.std for row in rows if row.std for side in (-1, 1)]
    height = 40 * len(rows)
    x = Scale(*_range(extremes), 10.0, WIDTH - 10.0)
    parts: list[str] = []
    for value in x.ticks():
        parts.append(tag("line", x1=x(value), x2=x(value), y1=4, y2=height, class_="grid"))
        parts.append(tag("text", f"{value:g}", x=x(value), y=height + 14, text_anchor="middle"))
    parts.append(tag("text", x_label, x=WIDTH - 10, y=height + 32, text_anchor="end", class_="label"))
    tooltips = sum(len(row.values) for row in rows) <= MOST_TOOLTIPS
    for number, row in enumerate(rows):
        top, middle = 40.0 * number, 40.0 * number + 28
        kind = "s0" if row.best else "s1"
        spread = f" ± {format_figure(row.std)}" if row.std is not None else ""
        name = tag("text", _clip(row.label, 44), x=10, y=top + 15, class_="row best" if row.best else "row")
        mean = tag("text", format_figure(row.mean) + spread, x=WIDTH - 10, y=top + 15, text_anchor="end")
        parts += [tag("g", tag("title", row.label), name), mean]
        if row.std is not None:
            ends = {"x1": x(row.mean - row.std), "x2": x(row.mean + row.std)}
            parts.append(tag("line", **ends, y1=middle, y2=middle, class_=f"error {kind}"))
        parts.append(
            tag("line", x1=x(row.mean), x2=x(row.mean), y1=middle - 7, y2=middle + 7, class_=f"mean {kind}")
        )
        parts += [_dot(x(v), middle, kind, f"{row.label}: {v:.5g}" if tooltips else None) for v in row.values]
    told = "; ".join(f"{row.label}: {format_figure(row.mean)}" for row in rows[:10])
    return _svg(f"{title}. {told}", height + 40, parts)


def scatter(title: str, points: Points, x_label: str, y_label: str) -> Markup:
    """Values against a number, a line through the mean at each number.

    Args:
        title: What is shown.
        points: At least one.
        x_label: What x is.
        y_label: What y is.
    """
    numbers = sorted({px for px, _ in points})
    log = numbers[0] > 0 and numbers[-1] / numbers[0] >= 50
    left, right, top, bottom = 52.0, WIDTH - 12.0, 12.0, 192.0
    x = Scale(*_range(numbers, 0 if log else 0.04), left, right, log)
    y = Scale(*_range([py for _, py in points]), bottom, top)
    means = []
    for number in numbers:
        here = [py for px, py in points if px == number]
        means.append((number, sum(here) / len(here)))
    parts = [_axes(x, y, f"{x_label}{' (logarithmic)' if log else ''}")]
    if 1 < len(means) < len(points):
        path = " ".join(f"{x(px):.1f},{y(py):.1f}" for px, py in means)
        parts.append(tag("polyline", points=path, class_="line s0"))
    tooltips = len(points) <= MOST_TOOLTIPS
    parts += [
        _dot(x(px), y(py), "s1", f"{x_label} {px:g}: {format_figure(py)}" if tooltips else None)
        for px, py in points
    ]
    told = ", ".join(f"{format_figure(py)} at {px:g}" for px, py in means[:10])
    return _svg(f"{title}. Mean of {y_label}: {told}", 232, parts)


def parallel_coordinates(
    title: str, axes: Sequence[str], rows: Sequence[tuple[Sequence[float], str]]
) -> Markup:
    """A line a row through its value on each axis; the better, the stronger its colour.

    Args:
        title: What is shown.
        axes: Names, the objective last.
        rows: The values on the axes and a label, the best first.
    """
    width, top, bottom = max(WIDTH, 110 * len(axes)), 34.0, 190.0
    columns = list(zip(*(values for values, _ in rows), strict=True))
    scales = []
    for column in columns:
        log = min(column) > 0 and max(column) / min(column) >= 50
        scales.append(Scale(min(column), max(column), bottom, top, log))
    places = [50 + number * (width - 100) / (len(axes) - 1) for number in range(len(axes))]
    parts = []
    for number, (values, label) in reversed(list(enumerate(rows))):  # the best on top
        ends = zip(places, scales, values, strict=True)
        path = " ".join(f"{place:.1f},{scale(value):.1f}" for place, scale, value in ends)
        strength = min(4, 5 * number // len(rows))
        tooltip = [tag("title", label)] if len(rows) <= MOST_TOOLTIPS else []
        parts.append(tag("polyline", *tooltip, points=path, class_=f"line q{strength}"))
    for place, scale, name in zip(places, scales, axes, strict=True):
        parts.append(tag("line", x1=place, x2=place, y1=top, y2=bottom, class_="axis"))
        short = tag("text", tag("title", name), _clip(name, 17), x=place, y=14, text_anchor="middle")
        parts.append(short)
        for value, y in ((scale.high, top - 6), (scale.low, bottom + 14)):
            parts.append(tag("text", f"{value:.4g}", x=place, y=y, text_anchor="middle", class_="label"))
    return _svg(f"{title}. The best: {rows[0][1]}", 212, parts, width)


def bars(title: str, shares: Sequence[tuple[str, float]]) -> Markup:
    """A bar each, from 0 on, with its name and value above it."""
    largest = max([share for _, share in shares] + [1e-9])
    parts = []
    for number, (name, share) in enumerate(shares):
        top = 34.0 * number
        parts.append(tag("text", name, x=10, y=top + 14, class_="row"))
        parts.append(tag("text", f"{share:.2f}", x=WIDTH - 10, y=top + 14, text_anchor="end"))
        width = (WIDTH - 20) * share / largest
        parts.append(tag("rect", x=10, y=top + 19, width=width, height=8, rx=2, class_="bar"))
    told = ", ".join(f"{name} {share:.2f}" for name, share in shares)
    return _svg(f"{title}. {told}", 34 * len(shares) + 4, parts)


def _svg(told: str, height: float, parts: Sequence[str], width: float = WIDTH) -> Markup:
    box = f"0 0 {width:g} {height:g}"
    wide = "wide" if width > WIDTH else None
    return tag("svg", *parts, viewBox=box, role="img", aria_label=told, class_=wide)


def _axes(x: Scale, y: Scale, x_label: str) -> Markup:
    parts = []
    for value in y.ticks():
        parts.append(tag("line", x1=x.start, x2=x.end, y1=y(value), y2=y(value), class_="grid"))
        parts.append(tag("text", f"{value:g}", x=x.start - 6, y=y(value) + 4, text_anchor="end"))
    for value in x.ticks():
        if x.high - x.low < 1 or value == int(value) or x.log:
            parts.append(tag("text", _short(value), x=x(value), y=y.start + 16, text_anchor="middle"))
    parts.append(tag("line", x1=x.start, x2=x.end, y1=y.start, y2=y.start, class_="axis"))
    parts.append(tag("text", x_label, x=x.end, y=y.start + 34, text_anchor="end", class_="label"))
    return tag("g", *parts)


def _dot(x: float, y: float, kind: str, tooltip: str | None) -> Markup:
    inside = [tag("title", tooltip)] if tooltip else []
    return tag("circle", *inside, cx=x, cy=y, r=3.5, class_=f"dot {kind}")


def _range(values: Sequence[float], margin: float = 0.06) -> tuple[float, float]:
    """Lowest and highest, with a share of their distance to both sides; never the same unless margin is 0."""
    low, high = min(values), max(values)
    room = margin * ((high - low) or abs(high) or 1)
    return low - room, high + room


def _thinned(points: Points) -> Points:
    every = -(-len(points) // MOST_POINTS)
    return [*points[:-1:every], points[-1]]


def _course(points: Points) -> str:
    (_, first), (_, last) = points[0], points[-1]
    return (
        format_figure(last) if len(points) == 1 else f"from {format_figure(first)} to {format_figure(last)}"
    )


def _short(value: float) -> str:
    return f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:g}k" if value >= 1e4 else f"{value:g}"


def _clip(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
