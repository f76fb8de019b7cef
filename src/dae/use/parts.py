"""The parts of a trained model that can be used alone, and what goes in and comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dae.use.models import Decoder, Stage, TrainedModel, load_autoencoder, load_classifier, load_encoder


@dataclass(frozen=True)
class Part:
    """A part, ready to be exported.

    Attributes:
        name: One of ``PARTS``.
        model: The network; what it gives is in [0, 1], but for latents.
        takes: The name of its input: images or latents.
        gives: The name of its output: images, reconstructions, latents or probabilities.
        sample: So many inputs, drawn by chance, the same ones each time.
    """

    name: str
    model: TrainedModel
    takes: str
    gives: str
    sample: Callable[[int], Tensor]


def load_part(
    name: str, place: str | Path, allow_targets: Sequence[str] = (), stage: Stage | None = None
) -> Part:
    """A part of a run.

    Args:
        name: One of ``PARTS``.
        place: A run folder, a checkpoint, or the folder of a sweep, of which the winner counts.
        allow_targets: Packages besides ours whose classes the checkpoint may name.
        stage: Whose encoder is meant; of no meaning for the other parts.

    Raises:
        UserError: See ``load_autoencoder``; or the checkpoint does not say what its images are.
    """
    if name == "encoder":
        encoder = load_encoder(place, allow_targets, stage)
        return Part(name, encoder, "images", "latents", _images(encoder))
    if name == "classifier":
        classifier = load_classifier(place, allow_targets)
        return Part(name, classifier, "images", "probabilities", _images(classifier))
    whole = load_autoencoder(place, allow_targets)
    images = _images(whole)
    if name == "autoencoder":
        return Part(name, whole, "images", "reconstructions", images)
    decoder = Decoder(whole.decoder, whole.checkpoint)
    return Part(name, decoder, "latents", "images", lambda count: whole.encoder(images(count)))


def _images(model: TrainedModel) -> Callable[[int], Tensor]:
    how = model.preprocessing

    def draw(count: int) -> Tensor:
        chance = torch.Generator().manual_seed(count)
        return torch.rand(count, how.channels, how.image_size, how.image_size, generator=chance)

    return draw
