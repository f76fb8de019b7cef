"""The pictures of a run, embedded in its page."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

from dae.report.run_folder import RunFolder

CAPTIONS = {
    "contact_sheet.png": "Some training images of each class.",
    "dae/reconstructions.png": "Validation images, the same under the reference noise, and as stage 1 "
    "reconstructs them in its last epoch. The same images and the same noise in every epoch and every run.",
    "dae/best_and_worst.png": "The images with the lowest and with the highest loss; the title says which "
    "images and which weights.",
    "dae/robustness.png": "How denoising holds at other noise: PSNR and SSIM of the reconstruction, beside "
    "those of the noisy image itself, which is what doing nothing gives.",
    "dae/latent.png": "Test images in the latent, projected on two dimensions.",
    "dae/interpolation.png": "From one image to another in a straight line through the latent.",
    "dae/filters.png": "The filters of the first convolution.",
    "dae/activations.png": "The activations of each layer for one image.",
    "classifier/confusion.png": "True classes against predicted ones.",
    "classifier/calibration.png": "Accuracy against confidence; ECE is the mean gap between the two.",
    "classifier/mistakes.png": "The mistakes that the classifier was surest of.",
}
# All pictures together, so that a page stays below 3 MB; base64 makes them a third larger.
MOST_BYTES = 1_800_000


@dataclass(frozen=True)
class Picture:
    """A picture of a page; one without ``source`` could not be drawn, or was too large."""

    name: str
    caption: str
    source: str | None


def as_source(png: bytes) -> str:
    """A PNG as the source of an image element."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def embedded_pictures(run: RunFolder) -> Iterator[Picture]:
    """The pictures that exist, in the order of ``CAPTIONS``."""
    left = MOST_BYTES
    for name, caption in CAPTIONS.items():
        stage, _, file = name.rpartition("/")
        content = run.picture(stage, file)
        if content is None:
            continue
        fits = len(content) <= left
        left -= len(content) * fits
        yield Picture(name, caption, as_source(content) if fits else None)
