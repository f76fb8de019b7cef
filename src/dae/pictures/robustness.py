"""How denoising holds under other noise than it was trained with."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import PositiveInt
from pytorch_lightning import LightningModule, Trainer
from torch import Generator, Tensor
from torch.utils.tensorboard import SummaryWriter

from dae.data.image_set import bytes_to_floats
from dae.data.images import EVALUATION_BATCH_SIZE
from dae.metrics import NOISE_LEVELS
from dae.models import noise as noises
from dae.models.autoencoder import DenoisingAutoencoder
from dae.models.image_measures import structural_similarity
from dae.models.noise import Noise
from dae.pictures.figures import figure_pixels
from dae.pictures.publishing import (
    apply_in_batches,
    evaluated_split,
    images_and_epoch,
    publish,
    result_tag,
    tensorboard_writers,
)
from dae.pictures.style import BLUE, GREY, ORANGE, new_figure, style_axes
from dae.pictures.watcher import Watcher
from dae.seeds import derive_seed

SHARES = (0.1, 0.2, 0.4, 0.6, 0.8)
# 60 dB: an image that the noise has left as it is would have an infinite PSNR, and so would the mean.
LEAST_ERROR = 1e-6


@dataclass(frozen=True)
class Kind:
    """A kind of noise, the name of its level, and the levels to try."""

    noise: type[Noise]
    level: str
    levels: Sequence[float]

    @property
    def name(self) -> str:
        """The name of its file in ``conf/dae/noise``."""
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in self.noise.__name__)[1:]

    @property
    def axis(self) -> str:
        """The x-axis in TensorBoard, which knows whole numbers alone: 100 times a level that is a share."""
        return self.level if all(isinstance(level, int) for level in self.levels) else f"100 x {self.level}"

    @property
    def steps(self) -> list[int]:
        """The levels on that axis."""
        return [round(level if isinstance(level, int) else 100 * level) for level in self.levels]


def noise_kinds(trained: Noise, side: int) -> list[Kind]:
    """The kinds to try on images of that side: the trained one, at its own level too, then all others."""
    known = [Kind(kind, "p", SHARES) for kind in (noises.Dropout, noises.Mask, noises.SaltPepper)]
    known.insert(1, Kind(noises.Gaussian, "std", SHARES))
    known.append(
        Kind(noises.Block, "size", sorted({max(side * share // 16, 1) for share in range(2, 13, 2)}))
    )
    own = own_level(trained)
    if own is None:
        return known
    key, level = own
    same = next((kind for kind in known if kind.noise is type(trained)), None)
    levels = same.levels if same else [type(level)(round(level * factor, 6)) for factor in (0.5, 1.5, 2.0)]
    first = Kind(type(trained), key, sorted({*levels, level}))
    return [first, *(kind for kind in known if kind is not same)]


def own_level(noise: Noise) -> tuple[str, float] | None:
    """Name and value of the one number that a noise is made with; None if there is no such number."""
    keys = list(inspect.signature(type(noise)).parameters)
    value = getattr(noise, keys[0], None) if len(keys) == 1 else None
    return (keys[0], value) if isinstance(value, int | float) else None


def peak_signal_to_noise(images: Tensor, clean: Tensor) -> Tensor:
    """PSNR in dB of images (N, C, S, S), at most 60: (N,)."""
    return -10 * (images - clean).square().flatten(1).mean(1).clamp(min=LEAST_ERROR).log10()


def psnr_and_ssim(images: Tensor, clean: Tensor) -> Tensor:
    """Mean PSNR in dB, one figure an image, at most 60, and mean SSIM of images (N, C, S, S): (2,)."""
    total = torch.zeros(2)
    # In batches, which stay in the processor's cache: a quarter of the time.
    size = EVALUATION_BATCH_SIZE
    for piece, target in zip(images.split(size), clean.split(size), strict=True):
        psnr, ssim = peak_signal_to_noise(piece, target), structural_similarity(piece, target)
        total += torch.stack([psnr.sum(), ssim.sum()])
    return total / len(images)


@dataclass(frozen=True)
class Curve:
    """PSNR and SSIM at each level of a kind, (levels, 2), of the reconstruction and of its input."""

    kind: Kind
    reconstruction: Tensor
    noisy: Tensor


class Robustness(Watcher):
    """PSNR and SSIM of the reconstruction of test images, by kind and level of the noise.

    Beside them those of the noisy input, which is what doing nothing gives. Measured once, on the checkpoint
    that counts. The noise depends on ``data.split_seed``, kind and level. TensorBoard's curves have 100 times
    the level as x-axis (of blocks the side in pixels). At the default level of each kind PSNR is a metric of
    the run too: ``dae/test/psnr_<kind>``.

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
        for kind in noise_kinds(noises.NoNoise(), clean.shape[-1]):
            values = psnr_at_default_level(pl_module, kind, clean)
            self.tested[f"psnr_{kind.name}"] = [round(value, 6) for value in values.tolist()]
            pl_module.log(f"dae/test/psnr_{kind.name}", values.mean())
        curves = [measure(pl_module, kind, clean) for kind in noise_kinds(pl_module.noise, clean.shape[-1])]
        for writer in tensorboard_writers(trainer):
            for curve in curves:
                log_curve(writer, result_tag(trainer, pl_module, "robustness"), curve)
        trained = own_level(pl_module.noise)
        title = f"{len(clean)} {images_and_epoch(trainer)}"
        publish(trainer, pl_module, "robustness", draw_curves(curves, trained[1] if trained else None, title))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the value of each image to those that the module keeps."""
        if isinstance(pl_module, DenoisingAutoencoder):
            pl_module.tested |= self.tested


def noisy_images(kind: Kind, level: float, clean: Tensor, seed: int) -> Tensor:
    """The same noise in every run, drawn where the images are: on the CPU."""
    generator = Generator().manual_seed(derive_seed("robustness", seed, kind.name, str(level)))
    return kind.noise(level).corrupt(clean, generator)


def reconstruct(module: DenoisingAutoencoder, noisy: Tensor) -> Tensor:
    """The reconstructions in [0, 1]."""
    return apply_in_batches(lambda images: module(images).sigmoid(), noisy, module.device)


def psnr_at_default_level(module: DenoisingAutoencoder, kind: Kind, clean: Tensor) -> Tensor:
    """PSNR in dB of the reconstruction of each image, (N,)."""
    _, level = NOISE_LEVELS[kind.name]
    noisy = noisy_images(kind, level, clean, module.noise_seed)
    return peak_signal_to_noise(reconstruct(module, noisy), clean)


def measure(module: DenoisingAutoencoder, kind: Kind, clean: Tensor) -> Curve:
    """Measure one kind of noise at all its levels."""
    reconstructed, untouched = [], []
    for level in kind.levels:
        noisy = noisy_images(kind, level, clean, module.noise_seed)
        reconstructed.append(psnr_and_ssim(reconstruct(module, noisy), clean))
        # Dropout scales pixels past 1, which no image shows.
        untouched.append(psnr_and_ssim(noisy.clamp(0, 1), clean))
    return Curve(kind, torch.stack(reconstructed), torch.stack(untouched))


def log_curve(writer: SummaryWriter, tag: str, curve: Curve) -> None:
    """As ``<tag>_<metric>/<kind>/<line>``: a kind is a chart, in which its two lines can be told apart."""
    for line, values in (("reconstruction", curve.reconstruction), ("noisy_input", curve.noisy)):
        for step, pair in zip(curve.kind.steps, values.tolist(), strict=True):
            for metric, value in zip(("psnr", "ssim"), pair, strict=True):
                writer.add_scalar(f"{tag}_{metric}/{curve.kind.name}/{line}", value, step)


def draw_curves(curves: Sequence[Curve], trained: float | None, title: str) -> Tensor:
    """PSNR above SSIM, a column a kind; the first kind is the trained one if it has a level."""
    figure = new_figure(2.7 * len(curves), 5.4)
    figure.suptitle(f"Quality against the clean image: {title}", fontsize=11, x=0.01, ha="left")
    grid = figure.subplots(2, len(curves), sharey="row", squeeze=False)
    for column, curve in enumerate(curves):
        kind, known = curve.kind, column == 0 and trained is not None
        for row, metric in enumerate(("PSNR in dB", "SSIM")):
            axes = grid[row, column]
            head = f"{kind.name}{' (trained)' if known else ''}" if row == 0 else ""
            style_axes(axes, head, kind.level if row else "", metric if column == 0 else "")
            axes.plot(kind.levels, curve.noisy[:, row], "s--", color=GREY, ms=4, label="noisy input")
            axes.plot(
                kind.levels, curve.reconstruction[:, row], "o-", color=BLUE, ms=4, label="reconstruction"
            )
            if known:
                axes.axvline(trained, color=ORANGE, lw=1, ls=":", label="trained level")
    # The noisy input of little noise is left to run out of sight.
    least = min(float(curve.noisy[:, 0].min()) for curve in curves)
    most = max(float(curve.reconstruction[:, 0].max()) for curve in curves)
    if most > least:  # also false if they are no numbers
        grid[0, 0].set_ylim(least - 2, most + 8)
    grid[0, 0].legend(fontsize=9, frameon=False)
    return figure_pixels(figure)
