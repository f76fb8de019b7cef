"""The style of every picture and chart.

They are drawn with matplotlib's objects, never with pyplot, which keeps each figure in memory until it is
closed. The colours are distinguishable for the colour-blind (Okabe & Ito 2008; classes: Paul Tol's muted
scheme).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

BLUE, ORANGE, GREY, PALE = "#0072B2", "#D55E00", "#767676", "#D9E6EF"
BLACK, GRID = "#000000", "#E6E6E6"
CLASSES = (
    "#332288",
    "#88CCEE",
    "#44AA99",
    "#117733",
    "#999933",
    "#DDCC77",
    "#CC6677",
    "#882255",
    "#AA4499",
    "#BBBBBB",
)
DPI = 80
NAME = 12  # characters


def short_names(classes: Sequence[str]) -> list[str]:
    """Names that fit above an image: ``0`` for ``0 - zero``, as torchvision calls it; long ones cut."""
    heads = [name.split(" - ")[0] for name in classes]
    names = heads if len(set(heads)) == len(classes) else classes
    return [name if len(name) <= NAME else f"{name[: NAME - 3]}..." for name in names]


def class_colours(count: int) -> list[str]:
    """A colour for each class, repeating after ten."""
    return [CLASSES[index % len(CLASSES)] for index in range(count)]


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


def figure_pixels(figure: Figure) -> Tensor:
    """The pixels of a figure, (3, height, width) in uint8."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return torch.from_numpy(np.asarray(canvas.buffer_rgba())[..., :3].copy()).movedim(-1, 0)


def draw_text(text: str) -> Tensor:
    """A picture (3, height, width) in uint8 that shows a sentence, such as why there is nothing to draw."""
    figure = new_figure(8, 1.2)
    figure.text(0.02, 0.5, text, va="center", fontsize=11)
    return figure_pixels(figure)


def write_png(picture: Tensor, path: Path) -> None:
    """Write a picture (3, height, width) in uint8."""
    Image.fromarray(picture.movedim(0, -1).numpy()).save(path)


def draw_image_rows(
    rows: Mapping[str, Tensor], captions: Mapping[str, Sequence[str]] | None = None, title: str = ""
) -> Tensor:
    """Rows of images, each with its name, as one picture (3, height, width) in uint8.

    Args:
        rows: Name to images (N, C, H, W), with the same N in every row.
        captions: Name to the N texts above its images; all texts of a row have the same number of lines.
        title: The line above all rows.
    """
    captions = captions or {}
    columns = next(iter(rows.values())).shape[0]
    left, width = 1.5, columns + 1.6  # inches, as all below
    lines = {name: captions[name][0].count("\n") + 1 if name in captions else 0 for name in rows}
    height = sum(1.05 + 0.2 * count for count in lines.values()) + (0.4 if title else 0.1)
    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    top = height
    if title:
        figure.text(0.1 / width, (height - 0.22) / height, title, fontsize=11, va="center")
        top -= 0.35
    for name, images in rows.items():
        top -= 1.05 + 0.2 * lines[name]
        # Each row is drawn as one wide image, in a tenth of the time of separate axes for each image.
        axes = figure.add_axes((left / width, top / height, columns / width, 1 / height))
        strip = torch.cat([*images.nan_to_num(0.5).clamp(0, 1)], dim=2).movedim(0, -1)
        axes.imshow(strip.squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        finite = bool(images.isfinite().all())
        label = name if finite else f"{name}\n(not finite)"
        axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=11)
        for index, text in enumerate(captions.get(name, ())):
            place = ((index + 0.5) / columns, 1.02)
            axes.annotate(text, place, xycoords="axes fraction", ha="center", va="bottom", fontsize=9)
    return figure_pixels(figure)


def pad_with_white(images: Tensor, count: int) -> Tensor:
    """The images (N, C, H, W), followed by white ones if there are fewer than ``count``."""
    missing = images.new_ones(max(count - len(images), 0), *images.shape[1:])
    return torch.cat([images, missing])
