"""Pictures as tensors: figures, rows of images, a line of text."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from dae.pictures.style import DPI, new_figure


def figure_pixels(figure: Figure) -> Tensor:
    """The pixels of a figure, (3, height, width) in uint8."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    with warnings.catch_warnings():
        # A class name in a script that no font here has: boxes stand for it, and a user can do nothing.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support .* natively")
        canvas.draw()
    return torch.from_numpy(np.asarray(canvas.buffer_rgba())[..., :3].copy()).movedim(-1, 0)


def draw_text(text: str) -> Tensor:
    """A picture (3, height, width) in uint8 that shows a sentence, such as why there is nothing to draw."""
    figure = new_figure(8, 1.2)
    figure.text(0.02, 0.5, text, va="center", fontsize=11)
    return figure_pixels(figure)


def write_png(picture: Tensor, place: Path | BinaryIO) -> None:
    """Write a picture (3, height, width) in uint8."""
    Image.fromarray(picture.movedim(0, -1).numpy()).save(place, "png")


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
