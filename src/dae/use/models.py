"""Trained networks as plain modules: images in [0, 1] in, images, latents or probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import Tensor, nn

from dae.data.image_file import NotAnImageError, Preprocessing
from dae.errors import CheckpointError, UserError
from dae.runs import checkpoint
from dae.runs.checkpoint import AbsentError, Checkpoint
from dae.text import path_from_here
from dae.use.winner import classifier_command, run_of

Stage = Literal["dae", "classifier"]


class TrainedModel(nn.Module):
    """A network of a checkpoint, in evaluation mode, without gradients.

    Attributes:
        checkpoint: Where it comes from.
        classes: Their names, in the order of a classifier's outputs; none in stage 1.
    """

    def __init__(self, source: Checkpoint) -> None:
        super().__init__()
        self.checkpoint = source
        self.classes = source.classes

    @property
    def preprocessing(self) -> Preprocessing:
        """How its images are made of files.

        Raises:
            UserError: The checkpoint is older than that, and does not say.
        """
        found = self.checkpoint.preprocessing
        if found is None:
            raise UserError(
                f"{path_from_here(self.checkpoint.path)} is of format 1 and does not say how its images "
                "were made of files. Give it images (N, C, H, W) in [0, 1], or train it again"
            )
        return found

    def preprocess(self, image: str | Path | Image.Image) -> Tensor:
        """An image as the network takes it.

        Args:
            image: A file, or an image that Pillow has read; of any size, depth and colour.

        Returns:
            (1, C, S, S) in [0, 1].

        Raises:
            UserError: The file cannot be read as an image.
        """
        how = self.preprocessing
        try:
            return how.tensor(image)
        except NotAnImageError as error:
            name = "the image" if isinstance(image, Image.Image) else path_from_here(Path(image))
            raise UserError(f"{name} cannot be read as an image: {error}") from error

    def train(self, mode: bool = True) -> TrainedModel:
        """Nothing: it stays in evaluation mode, also as a part of what is trained; its networks can be."""
        return super().train(False)

    def _ready(self) -> None:
        self.eval().requires_grad_(False)


class Autoencoder(TrainedModel):
    """Images (N, C, S, S) in [0, 1] to their reconstructions, of the same shape and range: a denoiser.

    Attributes:
        encoder: Images to latents.
        decoder: Latents to logits, of which the sigmoid is the image.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, source: Checkpoint) -> None:
        super().__init__(source)
        self.encoder, self.decoder = encoder, decoder
        self._ready()

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct."""
        return torch.sigmoid(self.decoder(self.encoder(images)).float())


class Decoder(TrainedModel):
    """Latents, as its encoder makes them, to images (N, C, S, S) in [0, 1].

    Attributes:
        decoder: Latents to logits.
    """

    def __init__(self, decoder: nn.Module, source: Checkpoint) -> None:
        super().__init__(source)
        self.decoder = decoder
        self._ready()

    def forward(self, latents: Tensor) -> Tensor:
        """Decode."""
        return torch.sigmoid(self.decoder(latents).float())


class Encoder(TrainedModel):
    """Images (N, C, S, S) in [0, 1] to latents (N, ...), whose shape the encoder decides.

    Attributes:
        encoder: The network.
    """

    def __init__(self, encoder: nn.Module, source: Checkpoint) -> None:
        super().__init__(source)
        self.encoder = encoder
        self._ready()

    def forward(self, images: Tensor) -> Tensor:
        """Encode."""
        return self.encoder(images).float()


class Classifier(TrainedModel):
    """Images (N, C, S, S) in [0, 1] to the probabilities of ``classes``, (N, classes).

    Attributes:
        encoder: Images to latents; the identity where the classifier works on raw pixels.
        head: Latents to logits.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module, source: Checkpoint) -> None:
        super().__init__(source)
        self.encoder, self.head = encoder, head
        self._ready()

    def forward(self, images: Tensor) -> Tensor:
        """Classify."""
        return torch.softmax(self.head(self.encoder(images)).float(), 1)


def load_autoencoder(place: str | Path, allow_targets: Sequence[str] = ()) -> Autoencoder:
    """The denoiser of a stage 1.

    Args:
        place: A run folder, a checkpoint of stage 1, or the folder of a sweep, of which the winner counts.
        allow_targets: Packages besides ours whose classes the checkpoint may name.

    Raises:
        UserError: It is not there, damaged, of another stage, or names a class that is not allowed.
    """
    return Autoencoder(*checkpoint.load_autoencoder(run_of(place), allow_targets))


def load_encoder(place: str | Path, allow_targets: Sequence[str] = (), stage: Stage | None = None) -> Encoder:
    """The encoder of a stage 1, or of a classifier.

    Args:
        place: A run folder, a checkpoint of either stage, or the folder of a sweep.
        allow_targets: Packages besides ours whose classes the checkpoint may name.
        stage: Whose encoder is meant, in which the trained blocks of ``classifier`` are others; None is that
            of the file, or of stage 1.

    Raises:
        UserError: See ``load_autoencoder``.
    """
    network, source = checkpoint.load_encoder(run_of(place), allow_targets, stage or "dae")
    found = "classifier" if source.head else "dae"
    if stage not in (None, found):
        raise CheckpointError(f"{path_from_here(source.path)} is of the stage {found}, expected {stage}")
    return Encoder(network, source)


def load_classifier(place: str | Path, allow_targets: Sequence[str] = ()) -> Classifier:
    """The classifier of a stage 2.

    Args:
        place: A run folder, a checkpoint of stage 2, or the folder of a sweep, of which the winner counts.
        allow_targets: Packages besides ours whose classes the checkpoint may name.

    Raises:
        UserError: See ``load_autoencoder``; or the run has no classifier, and the command that trains one.
    """
    run = run_of(place)
    try:
        return Classifier(*checkpoint.load_classifier(run, allow_targets))
    except AbsentError as error:
        command = classifier_command(run, allow_targets)
        raise AbsentError(
            f"{error}\n      to train one on its encoder: {command}" if command else str(error)
        ) from error
