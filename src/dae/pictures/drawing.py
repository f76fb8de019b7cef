"""Pictures as tensors, where they are shown, and what the callbacks that draw have in common."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torchvision.utils import make_grid

from dae.data.batches import Batches
from dae.data.image_set import Split
from dae.data.images import EVALUATION_BATCH_SIZE
from dae.pictures.style import new_figure, short_names


class Watcher(Callback):
    """A callback that changes nothing in a fit, so that only the first process of a run needs it."""


def figure_pixels(figure: Figure) -> Tensor:
    """The pixels of a figure, (3, height, width) in uint8."""
    canvas = cast(FigureCanvasAgg, figure.canvas)
    with warnings.catch_warnings():
        # A class name in a script that no font here has: boxes stand for it, and a user can do nothing.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support .* natively")
        canvas.draw()
    return torch.from_numpy(np.asarray(canvas.buffer_rgba())[..., :3].copy()).movedim(-1, 0)


def draw_image_rows(rows: Mapping[str, Tensor], title: str = "") -> Tensor:
    """Rows of images, each with its name, as one picture (3, height, width) in uint8.

    Args:
        rows: Name to images (N, C, H, W) in [0, 1]; a shorter row ends in white.
        title: The line above all rows.
    """
    most = max(len(images) for images in rows.values())
    figure = new_figure(most + 1.6, 1.05 * len(rows) + 0.4)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    grid = figure.subplots(len(rows), 1, squeeze=False)
    for axes, (name, images) in zip(grid.flat, rows.items(), strict=True):
        blank = images.new_ones(most - len(images), *images.shape[1:])
        shown = torch.cat([images.nan_to_num(0.5).clamp(0, 1), blank])
        # One wide image a row, in a tenth of the time of separate axes for each.
        axes.imshow(
            make_grid(shown, nrow=most, padding=1, pad_value=1.0).movedim(0, -1).numpy(),
            interpolation="nearest",
        )
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        label = name if images.isfinite().all() else f"{name}\n(not finite)"
        axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=11, parse_math=False)
    return figure_pixels(figure)


def write_png(picture: Tensor, file: Path) -> None:
    """Write a picture (3, height, width) in uint8."""
    Image.fromarray(picture.movedim(0, -1).numpy()).save(file, "png")


def publish(trainer: Trainer, module: LightningModule, name: str, picture: Tensor) -> None:
    """Show a picture (3, height, width) in TensorBoard, and keep the last as ``<stage>/<name>.png``.

    ``report.html`` embeds the files that ``CAPTIONS`` in ``report/run_page.py`` names.
    TensorBoard's time series are sorted by the first word of their tags: with ``pictures`` the curves of both
    stages come before.
    """
    for writer in tensorboard_writers(trainer):
        writer.add_image(f"pictures/{result_tag(trainer, module, name)}", picture, epochs_done(trainer))
    write_png(picture, Path(trainer.default_root_dir) / f"{name}.png")


def tensorboard_writers(trainer: Trainer) -> list[SummaryWriter]:
    """The writers of all TensorBoard loggers; empty if there is none."""
    return [logger.experiment for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]


def result_tag(trainer: Trainer, module: LightningModule, name: str) -> str:
    """The tag of what a callback shows: under ``result`` if it is of the checkpoint that counts."""
    return f"{module.stage}/{name}" if trainer.state.fn == "fit" else f"result/{module.stage}/{name}"


def epochs_done(trainer: Trainer) -> int:
    """The x-axis of what is shown once an epoch, counting the epoch that is under way."""
    return trainer.current_epoch + (trainer.state.fn == "fit")


def is_due(trainer: Trainer, every_n_epochs: int) -> bool:
    """Of the checkpoint that counts, after the last epoch, and every so many epochs where a logger is."""
    epoch = epochs_done(trainer)
    shown = epoch % every_n_epochs == 0 and bool(tensorboard_writers(trainer))
    return trainer.state.fn != "fit" or epoch == trainer.max_epochs or shown


def images_seen(trainer: Trainer, batch_idx: int) -> int:
    """The x-axis of what is shown more often, so that runs of different batch sizes line up."""
    batches = cast(Batches, trainer.train_dataloader)
    an_epoch = batches.images_in(int(trainer.num_training_batches))
    return trainer.current_epoch * an_epoch + batches.images_in(batch_idx + 1)


def data_of(trainer: Trainer) -> Any:
    """The data module of the fit."""
    return trainer.datamodule  # type: ignore[attr-defined]


def evaluated_split(trainer: Trainer) -> tuple[str, Split]:
    """What is evaluated now: the name of the split as metrics spell it, and its images that come up."""
    is_test = trainer.state.fn == "test"
    split: Split = data_of(trainer).test if is_test else data_of(trainer).val
    batches = trainer.num_test_batches if is_test else trainer.num_val_batches
    count = int(sum(batches)) * EVALUATION_BATCH_SIZE  # fewer with trainer.limit_test_batches
    name = "test" if is_test else "val"
    return name, split if count >= len(split.labels) else split.chosen(torch.arange(count))


def class_names(trainer: Trainer) -> list[str]:
    """Names of the classes, short enough for pictures and tags."""
    return short_names(data_of(trainer).classes) or ["unlabelled"]  # all labels are -1 then, its index


def images_and_epoch(trainer: Trainer) -> str:
    """Which images are evaluated with which weights, for a title."""
    split = "test" if trainer.state.fn == "test" else "validation"
    weights = f"epoch {epochs_done(trainer)}" if trainer.state.fn == "fit" else "checkpoint that counts"
    return f"{split} images ({weights})"


def apply_in_batches(function: Callable[[Tensor], Tensor], images: Tensor, device: torch.device) -> Tensor:
    """The function's output for images on the CPU, there again, computed on the device in batches."""
    with torch.inference_mode():
        pieces = [function(piece.to(device)).float().cpu() for piece in images.split(EVALUATION_BATCH_SIZE)]
    return torch.cat(pieces)
