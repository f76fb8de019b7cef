"""The style of every picture and chart; knows nothing of torch, so that the report can use it, too.

They are drawn with matplotlib's objects, never with pyplot, which keeps each figure in memory until it is
closed. The colours are distinguishable for the colour-blind (Okabe & Ito 2008).
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY, GRID = "#0072B2", "#D55E00", "#009E73", "#767676", "#E6E6E6"
DPI = 80
NAME = 12  # characters


def short_names(classes: Sequence[str]) -> list[str]:
    """Names that fit above an image: ``0`` for ``0 - zero``, as torchvision calls it; long ones cut.

    No two become the same: what would collide keeps its number in front.
    """
    heads = [name.split(" - ")[0] for name in classes]
    names = heads if len({*heads}) == len(classes) else [*classes]
    cut = [name if len(name) <= NAME else f"{name[: NAME - 3]}..." for name in names]
    return [name if cut.count(name) == 1 else f"{place} {name}" for place, name in enumerate(cut)]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, whose layout keeps its parts from overlapping."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def style_axes(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Set the title and labels, and remove what the data does not need."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=9, length=2)
    axes.grid(True, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel(x, fontsize=10)
    axes.set_ylabel(y, fontsize=10)
