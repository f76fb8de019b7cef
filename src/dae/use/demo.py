"""What the demo shows of an image: with noise, without it again, its classes, its latent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from dae.metrics import NOISE_LEVELS
from dae.models.noise import KINDS
from dae.use.models import Autoencoder, Classifier, load_autoencoder, load_classifier
from dae.use.winner import run_of

SHOWN = 280  # pixels; a picture is enlarged by whole numbers up to here


@dataclass(frozen=True)
class Models:
    """The trained networks of a run.

    Attributes:
        denoiser: Of its stage 1.
        classifier: Of its stage 2; None if it has none.
    """

    denoiser: Autoencoder
    classifier: Classifier | None


@dataclass(frozen=True)
class Seen:
    """An image on its way through the networks.

    Attributes:
        clean: The image as the networks take it.
        noisy: With noise.
        denoised: What the denoiser makes of ``noisy``.
        latent: Of ``noisy``: its channels side by side, each number as grey, the smallest black.
        noisy_classes: The probability of each class for ``noisy``; empty without a classifier.
        denoised_classes: The same of ``denoised``.
    """

    clean: Image.Image
    noisy: Image.Image
    denoised: Image.Image
    latent: Image.Image
    noisy_classes: dict[str, float]
    denoised_classes: dict[str, float]


def load_models(place: str | Path, allow_targets: Sequence[str] = ()) -> Models:
    """The denoiser of a run, and its classifier if it has one.

    Args:
        place: A run folder, a checkpoint of stage 1, or the folder of a sweep, of which the winner counts.
        allow_targets: Packages besides ours whose classes the checkpoints may name.

    Raises:
        UserError: See ``load_autoencoder``; or the checkpoint does not say what its images are.
    """
    run = run_of(place)
    denoiser = load_autoencoder(run, allow_targets)
    _ = denoiser.preprocessing  # asked for now, and not when the first image comes
    classified = (run / "classifier" / "best.ckpt").is_file()
    return Models(denoiser, load_classifier(run, allow_targets) if classified else None)


def most_noise(kind: str, side: int) -> float:
    """The highest level of a kind of noise that says something on images of this side."""
    return {"size": float(side), "std": 1.0, "p": 0.95}[NOISE_LEVELS[kind][0]]


@torch.inference_mode()
def look(models: Models, image: str | Path | Image.Image, kind: str, level: float, seed: int = 0) -> Seen:
    """Corrupt an image, denoise and classify it.

    Args:
        models: Of the run.
        image: A file, or an image that Pillow has read; of any size, depth and colour.
        kind: One of ``KINDS``.
        level: Of the noise: a probability, a standard deviation, a side in pixels; 0 is none.
        seed: The same one draws the same noise again, whatever its level.

    Raises:
        UserError: The file cannot be read as an image.
    """
    denoiser, classifier = models.denoiser, models.classifier
    clean = noisy = denoiser.preprocess(image)
    if level:
        argument = NOISE_LEVELS[kind][0]
        value = int(level) if argument == "size" else level
        noisy = KINDS[kind](**{argument: value}).corrupt(clean, torch.Generator().manual_seed(seed))
    denoised = denoiser(noisy)

    def classes(images: Tensor) -> dict[str, float]:
        found = classifier(images)[0].tolist() if classifier else []
        return dict(zip(denoiser.classes if classifier is None else classifier.classes, found, strict=True))

    return Seen(
        clean=picture(clean[0]),
        noisy=picture(noisy[0]),
        denoised=picture(denoised[0]),
        latent=latent_picture(denoiser.encoder(noisy)[0].float()),
        noisy_classes=classes(noisy),
        denoised_classes=classes(denoised),
    )


def picture(image: Tensor) -> Image.Image:
    """An image (C, H, W) in [0, 1], enlarged so that its pixels can be seen; what lies outside is cut off."""
    levels = (image.clamp(0, 1) * 255).round().byte().movedim(0, -1).squeeze(-1).numpy()
    flat = Image.fromarray(levels)
    times = max(1, SHOWN // max(flat.size))
    return flat.resize((flat.width * times, flat.height * times), Image.Resampling.NEAREST)


def latent_picture(latent: Tensor) -> Image.Image:
    """The channels of a latent (C, H, W) in rows, as near to a square as they go.

    Of a latent of another shape, each number stands for itself.
    """
    if latent.dim() != 3:
        latent = latent.reshape(-1, 1, 1)
    low, high = latent.aminmax()
    scaled = (latent - low) / (high - low).clamp_min(1e-12)
    across = math.ceil(math.sqrt(len(latent)))
    rows = math.ceil(len(latent) / across)
    gap = int(latent.shape[-1] > 1)  # of one pixel, to tell channels apart
    tiles = torch.nn.functional.pad(scaled, (0, gap, 0, gap))
    tiles = torch.cat([tiles, torch.zeros(rows * across - len(tiles), *tiles.shape[1:])])
    height, width = tiles.shape[1:]
    sheet = tiles.reshape(rows, across, height, width).transpose(1, 2).reshape(rows * height, across * width)
    return picture(sheet[None, : rows * height - gap, : across * width - gap])
