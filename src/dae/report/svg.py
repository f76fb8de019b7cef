"""Charts as SVG elements: their axes, and how they become a part of a page.

The colours are variables of ``style.css``, so that a chart is light, dark or printed as its page is. What it
shows is also said in words, for those who do not see it.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from dae.pictures.style import BLACK, BLUE, GREEN, GREY, GRID, ORANGE, new_figure, style_axes

WIDTH, HEIGHT = 4.2, 2.4  # inches, as all lengths here
ROW = 0.46
STEPS = [1, 2, 2.5, 5, 10]  # between ticks, times a power of ten
COLOURS = {BLUE: "accent", ORANGE: "second", GREEN: "good", GREY: "quiet", GRID: "rule", BLACK: "ink"}
# What matplotlib writes and an element inside a page does not need; a group's own name becomes its class.
SURPLUS = {
    r'<g id="[\w.]+_\d+">': "<g>",
    r'<g id="': '<g class="',
    r"font-family: [^;\"]*;? ?": "",
    r' transform="rotate\(-0 [^"]*"': "",
    "xlink:href": "href",
    r"\s*\n\s*": " ",
}


def new_axes(
    height: float = HEIGHT,
    width: float = WIDTH,
    x: str = "",
    left: float = 0.65,
    right: float = 0.15,
    bottom: float = 0.45,
    top: float = 0.1,
) -> Axes:
    """Axes alone in a figure; the margins are fixed, since a browser's font is not matplotlib's."""
    figure = new_figure(width, height)
    figure.set_layout_engine("none")
    figure.patch.set_visible(False)
    inside = (width - left - right) / width, (height - bottom - top) / height
    axes = figure.add_axes((left / width, bottom / height, *inside))
    axes.patch.set_visible(False)
    style_axes(axes, x=x)
    axes.xaxis.label.set_parse_math(False)
    axes.locator_params(nbins=5, steps=STEPS)
    axes.ticklabel_format(useOffset=False)
    return axes


def svg(axes: Axes, told: str) -> Markup:
    """The figure as an element of a page, with ``told`` for those who do not see it."""
    figure = axes.figure
    assert isinstance(figure, Figure)
    written = io.StringIO()
    # Ids are hashes of the salt and of what they name, so that charts of one page share none.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": told}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a browser has fonts of its own
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(written, metadata=nothing)  # savefig would draw it twice
    drawn = written.getvalue().partition("</defs>")[2]  # before it: the head, and style for the whole page
    for pattern, needed in SURPLUS.items():
        drawn = re.sub(pattern, needed, drawn)
    for colour, name in COLOURS.items():
        drawn = drawn.replace(colour.lower(), f"var(--{name})")
    width, height = (72 * inches for inches in figure.get_size_inches())
    kind = "wide" if width > 72 * WIDTH else "chart"
    head = Markup('<svg class="{}" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">')
    return head.format(kind, width, height, told) + Markup(drawn)


def needs_log(values: Sequence[float]) -> bool:
    """Whether numbers span so many decades that an axis of theirs should be logarithmic."""
    return min(values) > 0 and max(values) / min(values) >= 50


def clip(text: str, length: int) -> str:
    """The text, cut where it is too long."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
