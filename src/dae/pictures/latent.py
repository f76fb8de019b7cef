"""Pictures of the latent space, and its units that carry no information."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from pydantic import PositiveInt
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from dae.data.image_set import bytes_to_floats
from dae.models.autoencoder import DenoisingAutoencoder
from dae.pictures.confusion import split_key
from dae.pictures.figures import draw_image_rows, figure_pixels
from dae.pictures.publishing import (
    apply_in_batches,
    class_names,
    epochs_done,
    evaluated_split,
    images_and_epoch,
    is_due,
    publish,
    result_tag,
    tensorboard_writers,
)
from dae.pictures.style import BLUE, ORANGE, class_colours, new_figure, style_axes
from dae.pictures.watcher import Watcher

log = logging.getLogger(__name__)

SPRITE = 32  # pixels: TensorBoard takes sprites of up to 8,192 in all
STEPS = 9


class Latent(Watcher):
    """The latents of images that were not trained on: where they lie, and which units say nothing.

    While stage 1 is trained, of validation images; of the checkpoint that counts, of test images. Then there
    also is the interpolation between digits, and TensorBoard's projector has the latents themselves.

    Args:
        images: At most so many.
        every_n_epochs: Epochs between two pictures.
    """

    def __init__(self, images: PositiveInt = 2000, every_n_epochs: PositiveInt = 5) -> None:
        self.images = images
        self.every_n_epochs = every_n_epochs

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw ``latent.png`` and count the dead units."""
        if isinstance(pl_module, DenoisingAutoencoder) and is_due(trainer, self.every_n_epochs):
            images, labels = self.inputs(trainer)
            self.show(
                trainer, pl_module, apply_in_batches(pl_module.encoder, images, pl_module.device), labels
            )

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The same for the checkpoint that counts; count the units in the log, interpolate, embed."""
        if not isinstance(pl_module, DenoisingAutoencoder):
            return
        images, labels = self.inputs(trainer)
        latents = apply_in_batches(pl_module.encoder, images, pl_module.device)
        said = self.show(trainer, pl_module, latents, labels)
        if said:
            log.warning("dae: of the latents of %d test images %s", len(images), said)
        classes = class_names(trainer)
        rows = interpolations(pl_module, images, labels, classes)
        title = f"Between {images_and_epoch(trainer)}: through the latent, and pixel by pixel"
        publish(trainer, pl_module, "interpolation", draw_image_rows(rows, title=title))
        if latents.isfinite().all():
            for writer in tensorboard_writers(trainer):
                names = [classes[label] for label in labels.tolist()]
                # The tensors lie in a folder of the step beside the event file.
                writer.add_embedding(
                    latents.flatten(1), names, sprites(images), epochs_done(trainer), "latent"
                )

    def inputs(self, trainer: Trainer) -> tuple[Tensor, Tensor]:
        """The images to encode, and their labels."""
        split = evaluated_split(trainer)[1]
        return bytes_to_floats(split.images[: self.images]), split.labels[: self.images]

    def show(self, trainer: Trainer, module: LightningModule, latents: Tensor, labels: Tensor) -> str:
        """Publish picture, text and scalars; returns the text about dead and saturated units."""
        classes = class_names(trainer)
        dead, same = dead_units(latents), saturated_units(latents)
        said = describe_units(dead, same)
        scalars = {"dead_units": dead, "saturated_units": same, "dead_channels": dead.flatten(1).all(1)}
        split = split_key(evaluated_split(trainer)[0])
        for writer in tensorboard_writers(trainer):
            for name, mask in scalars.items():
                tag = result_tag(trainer, module, f"{split}/latent/{name}")
                writer.add_scalar(tag, int(mask.sum()), epochs_done(trainer))
            text = said or f"all {dead.numel()} units differ between images"
            writer.add_text(result_tag(trainer, module, "latent_units"), text, epochs_done(trainer))
        picture = draw_latents(latents, labels, classes, images_and_epoch(trainer))
        publish(trainer, module, "latent", picture)
        return said


def dead_units(latents: Tensor) -> Tensor:
    """Units that are 0 for every image, (C, ...) in bool, of latents (N, C, ...)."""
    return (latents == 0).all(0)


def saturated_units(latents: Tensor) -> Tensor:
    """Units that have one value other than 0 for every image, to a thousandth of it."""
    low, high = latents.amin(0), latents.amax(0)
    return ((high - low) <= 1e-3 * torch.maximum(low.abs(), high.abs())) & ~dead_units(latents)


def describe_units(dead: Tensor, saturated: Tensor) -> str:
    """How many units are dead or saturated, in words; an empty text if none is."""
    kinds = ((dead, "dead (0 for each image)"), (saturated, "saturated (one value for each image)"))
    return "; ".join(
        f"{int(mask.sum())} of {mask.numel()} units are {what}" for mask, what in kinds if mask.any()
    )


def principal_axes(points: Tensor) -> tuple[Tensor, float]:
    """Points (N, D) on their two principal axes, (N, 2), and the share of the variance that these show."""
    centred = points - points.mean(0)
    left, sizes, _ = torch.linalg.svd(centred, full_matrices=False)
    left, shown = left[:, :2], sizes[:2]
    # An axis has no direction of its own: its largest coordinate is made positive.
    signs = left.gather(0, left.abs().argmax(0, keepdim=True)).sign()
    flat = F.pad(left * signs * shown, (0, 2 - len(shown)))
    return flat, float(shown.square().sum() / sizes.square().sum().clamp(min=1e-12))


def draw_latents(latents: Tensor, labels: Tensor, classes: Sequence[str], title: str) -> Tensor:
    """The latents (N, C, ...) as points, and how active their channels are."""
    figure = new_figure(11, 5.2)
    points, bars = figure.subplots(1, 2, width_ratios=(1.5, 1))
    figure.suptitle(f"Latents of {len(latents)} {title}", fontsize=11, x=0.01, ha="left")
    if latents.isfinite().all():
        flat, share = principal_axes(latents.flatten(1))
        style_axes(points, f"PCA, {share:.0%} of the variance")
        draw_scatter(points, flat, labels, classes)
    else:
        style_axes(points, "no picture: latents are not finite")
    units = latents.flatten(2) if latents.dim() > 2 else latents[..., None]
    active = (units != 0).float().mean((0, 2))
    dead = dead_units(units).all(1)
    style_axes(bars, f"Share of a channel that is not 0; {int(dead.sum())} of {len(dead)} dead", y="channel")
    bars.barh(range(len(active)), active, color=[ORANGE if gone else BLUE for gone in dead])
    for channel in dead.nonzero().flatten().tolist()[:64]:
        bars.text(0.01, channel, "dead", color=ORANGE, va="center", fontsize=9)
    bars.set_xlim(0, 1)
    bars.set_ylim(len(active) - 0.5, -0.5)
    bars.locator_params(axis="y", integer=True)
    return figure_pixels(figure)


def draw_scatter(axes: Axes, flat: Tensor, labels: Tensor, classes: Sequence[str]) -> None:
    """Points (N, 2), and the name of each class in the middle of its own."""
    colours = class_colours(len(classes))
    axes.scatter(flat[:, 0], flat[:, 1], s=6, linewidths=0, c=[colours[label] for label in labels.tolist()])
    for label in labels.unique().tolist():
        x, y = flat[labels == label].median(0).values.tolist()
        box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": colours[label]}
        axes.text(x, y, classes[label], fontsize=10, ha="center", va="center", bbox=box)


def interpolations(
    module: DenoisingAutoencoder, images: Tensor, labels: Tensor, classes: Sequence[str]
) -> dict[str, Tensor]:
    """From the first image of a class to that of the next, for up to three pairs of classes.

    Two rows a pair: what the decoder makes of the points between the latents, and between the pixels.
    """
    present = labels.unique().tolist()
    present = present[: min(len(present), 6) // 2 * 2]
    firsts = [int((labels == label).nonzero()[0]) for label in present]
    pairs = list(zip(firsts[::2], firsts[1::2], strict=True)) or [(0, len(images) - 1)]
    weights = torch.linspace(0, 1, STEPS)
    rows = {}
    for start, end in pairs:
        ends = images[[start, end]]
        latents = apply_in_batches(module.encoder, ends, module.device)
        between = torch.stack([torch.lerp(latents[0], latents[1], float(weight)) for weight in weights])
        name = f"{classes[int(labels[start])]}\nto {classes[int(labels[end])]}"
        rows[name] = apply_in_batches(lambda latent: module.decoder(latent).sigmoid(), between, module.device)
        rows[f"{name},\npixels"] = torch.stack([torch.lerp(ends[0], ends[1], float(w)) for w in weights])
    return rows


def sprites(images: Tensor) -> Tensor:
    """The images, small enough for all of them to fit into one sprite."""
    small = images.shape[-1] <= SPRITE
    return images if small else F.interpolate(images, (SPRITE, SPRITE), mode="area")
