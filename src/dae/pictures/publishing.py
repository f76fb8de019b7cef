"""What the callbacks that draw have in common: when, where to, and passing images through in batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from dae.data.batches import Batches
from dae.data.image_set import Split
from dae.data.images import EVALUATION_BATCH_SIZE
from dae.pictures.figures import write_png
from dae.pictures.style import short_names


def epochs_done(trainer: Trainer) -> int:
    """The x-axis of what is shown once an epoch, counting the epoch that is under way."""
    return trainer.current_epoch + (trainer.state.fn == "fit")


def is_due(trainer: Trainer, every_n_epochs: int) -> bool:
    """Every so many epochs, after the last one, and of the checkpoint that counts."""
    epoch = epochs_done(trainer)
    return trainer.state.fn != "fit" or epoch % every_n_epochs == 0 or epoch == trainer.max_epochs


def images_seen(trainer: Trainer, batch_idx: int) -> int:
    """The x-axis of what is shown more often, so that runs of different batch sizes line up."""
    batches: Batches = trainer.train_dataloader  # type: ignore[assignment]
    an_epoch = batches.images_in(int(trainer.num_training_batches))
    return trainer.current_epoch * an_epoch + batches.images_in(batch_idx + 1)


def tensorboard_writers(trainer: Trainer) -> list[SummaryWriter]:
    """The writers of all TensorBoard loggers; empty if there is none."""
    return [logger.experiment for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]


def result_tag(trainer: Trainer, module: LightningModule, name: str) -> str:
    """The tag of what a callback shows: under ``result`` if it is of the checkpoint that counts."""
    return f"{module.stage}/{name}" if trainer.state.fn == "fit" else f"result/{module.stage}/{name}"


def publish(trainer: Trainer, module: LightningModule, name: str, picture: Tensor) -> None:
    """Show a picture (3, height, width) in TensorBoard, and keep the last as ``<stage>/<name>.png``.

    TensorBoard's time series are sorted by the first word of their tags: with ``pictures`` the curves of both
    stages come before.
    """
    for writer in tensorboard_writers(trainer):
        writer.add_image(f"pictures/{result_tag(trainer, module, name)}", picture, epochs_done(trainer))
    write_png(picture, Path(trainer.default_root_dir) / f"{name}.png")


def evaluated_split(trainer: Trainer) -> tuple[str, Split]:
    """What is evaluated now: the name of the split in words, and those of its images that come up."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    name, split, batches = "validation", data.val, trainer.num_val_batches
    if trainer.state.fn == "test":
        name, split, batches = "test", data.test, trainer.num_test_batches
    count = int(sum(batches)) * EVALUATION_BATCH_SIZE  # fewer with trainer.limit_test_batches
    return name, split if count >= len(split.labels) else split.chosen(torch.arange(count))


def class_names(trainer: Trainer) -> list[str]:
    """Names of the classes, short enough for pictures and tags."""
    names = short_names(trainer.datamodule.classes)  # type: ignore[attr-defined]
    return names or ["unlabelled"]  # all labels are -1 then, the index of this one name


def images_and_epoch(trainer: Trainer) -> str:
    """Which images are evaluated with which weights, for a title."""
    split, _ = evaluated_split(trainer)
    weights = f"epoch {epochs_done(trainer)}" if trainer.state.fn == "fit" else "checkpoint that counts"
    return f"{split} images ({weights})"


def apply_in_batches(function: Callable[[Tensor], Tensor], images: Tensor, device: torch.device) -> Tensor:
    """The function's output for images on the CPU, there again, computed on the device in batches."""
    with torch.inference_mode():
        pieces = [function(piece.to(device)).float().cpu() for piece in images.split(EVALUATION_BATCH_SIZE)]
    return torch.cat(pieces)
