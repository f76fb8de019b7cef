"""How denoising holds under other noise than it was trained with."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import PositiveInt
from pytorch_lightning import LightningModule, Trainer
from torch import Generator, Tensor

from dae.data.image_set import bytes_to_floats
from dae.metrics import NOISE_LEVELS
from dae.models.autoencoder import DenoisingAutoencoder
from dae.models.noise import KINDS
from dae.pictures.drawing import (
    Watcher,
    apply_in_batches,
    evaluated_split,
    figure_pixels,
    images_and_epoch,
    publish,
)
from dae.pictures.style import BLUE, GREY, new_figure, style_axes
from dae.seeds import derive_seed

# Times the default level of each kind.
FACTORS = (0.5, 1, 2)
# 60 dB: an image that the noise has left as it is would have an infinite PSNR, and so would the mean.
LEAST_ERROR = 1e-6

# Level -> PSNR of each reconstruction, and of each noisy image, (N,).
Curve = dict[float, tuple[Tensor, Tensor]]


class Robustness(Watcher):
    """PSNR of the reconstruction of test images by kind and level of noise, beside that of the noisy image.

    Measured once, on the checkpoint that counts. The noise depends on ``data.split_seed``, kind and level. At
    the default level of each kind it is a metric of the run too: ``dae/test/psnr_<kind>``.

    Args:
        images: How many test images.
    """

    def __init__(self, images: PositiveInt = 300) -> None:
        self.images = images
        self.tested: dict[str, list[float]] = {}

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure, draw, log, and write ``robustness.png``."""
        if not isinstance(pl_module, DenoisingAutoencoder):
            return
        clean = bytes_to_floats(evaluated_split(trainer)[1].images[: self.images])
        curves = {kind: measure(pl_module, kind, clean) for kind in NOISE_LEVELS}
        for kind, curve in curves.items():
            if (level := NOISE_LEVELS[kind][1]) in curve:
                values = curve[level][0]
                self.tested[f"psnr_{kind}"] = [round(value, 6) for value in values.tolist()]
                pl_module.log(f"dae/test/psnr_{kind}", values.mean())
        title = f"{len(clean)} {images_and_epoch(trainer)}"
        publish(trainer, pl_module, "robustness", draw_curves(curves, title))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the value of each image to those that the module keeps."""
        if isinstance(pl_module, DenoisingAutoencoder):
            pl_module.tested |= self.tested


def psnr(images: Tensor, clean: Tensor) -> Tensor:
    """PSNR in dB of images (N, C, S, S), at most 60: (N,)."""
    return -10 * (images - clean).square().flatten(1).mean(1).clamp(min=LEAST_ERROR).log10()


def measure(module: DenoisingAutoencoder, kind: str, clean: Tensor) -> Curve:
    """Measure a kind of noise at its levels; one that these images do not allow is left out."""
    default = NOISE_LEVELS[kind][1]
    curve: Curve = {}
    for level in (type(default)(factor * default) for factor in FACTORS):
        # The same noise in every run, drawn where the images are: on the CPU.
        generator = Generator().manual_seed(derive_seed("robustness", module.noise_seed, kind, str(level)))
        try:
            noisy = KINDS[kind](level).corrupt(clean, generator)
        except ValueError:  # a block that is larger than the image
            continue
        made = apply_in_batches(lambda images: module(images).sigmoid(), noisy, module.device)
        # Dropout scales pixels past 1, which no image shows.
        curve[level] = psnr(made, clean), psnr(noisy.clamp(0, 1), clean)
    return curve


def draw_curves(curves: Mapping[str, Curve], title: str) -> Tensor:
    """A panel a kind, with a line for the reconstruction and one for doing nothing."""
    figure = new_figure(2.7 * len(curves), 3.1)
    figure.suptitle(f"PSNR in dB against the clean image: {title}", fontsize=11, x=0.01, ha="left")
    grid = figure.subplots(1, len(curves), sharey=True, squeeze=False)
    for axes, (kind, curve) in zip(grid.flat, curves.items(), strict=True):
        style_axes(axes, kind, NOISE_LEVELS[kind][0])
        means = [torch.stack(pair).mean(1).tolist() for pair in curve.values()]
        axes.plot([*curve], [noisy for _, noisy in means], "s--", color=GREY, ms=4, label="noisy image")
        axes.plot([*curve], [made for made, _ in means], "o-", color=BLUE, ms=4, label="reconstruction")
    grid[0, 0].legend(fontsize=9, frameon=False)
    return figure_pixels(figure)
