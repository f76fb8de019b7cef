"""Trained networks as plain modules: images in [0, 1] in, images, latents or probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor, nn

from dae.data.image_file import NotAnImageError, Preprocessing
from dae.errors import CheckpointError, UserError
from dae.runs import checkpoint
from dae.runs.checkpoint import Checkpoint
from dae.sweeps.table import read_table
from dae.text import path_from_here

# What goes into each part of a model, and what comes out of it.
PARTS = {
    "encoder": ("images", "latents"),
    "decoder": ("latents", "images"),
    "autoencoder": ("images", "reconstructions"),
    "classifier": ("images", "probabilities"),
}


class TrainedModel(nn.Module):
    """A part of a checkpoint, in evaluation mode, without gradients.

    An encoder gives latents (N, ...), whose shape it decides; an autoencoder and a decoder give images
    (N, C, S, S) in [0, 1], a classifier the probabilities of ``classes``, (N, classes).

    Args:
        part: One of ``PARTS``.
        source: The checkpoint.
        **networks: By their names, ``encoder``, ``decoder`` or ``head``, in the order of their use.

    Attributes:
        checkpoint: Where it comes from.
        classes: Their names, in the order of a classifier's outputs; none in stage 1.
    """

    encoder: nn.Module
    decoder: nn.Module
    head: nn.Module

    def __init__(self, part: str, source: Checkpoint, **networks: nn.Module) -> None:
        super().__init__()
        self.part, self.checkpoint, self.classes = part, source, source.classes
        for name, network in networks.items():
            self.add_module(name, network)
        self.eval().requires_grad_(False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Images (N, C, S, S) in [0, 1], of a decoder latents, to what the part gives."""
        for network in self.children():
            inputs = network(inputs)
        outputs = inputs.float()
        if self.part == "classifier":
            return outputs.softmax(1)
        return outputs if self.part == "encoder" else outputs.sigmoid()

    @property
    def preprocessing(self) -> Preprocessing:
        """How its images are made of files."""
        return self.checkpoint.preprocessing

    def preprocess(self, image: str | Path | Image.Image) -> Tensor:
        """An image, of any size, depth and colour, as the network takes it: (1, C, S, S) in [0, 1].

        Raises:
            UserError: The file cannot be read as an image.
        """
        try:
            return self.preprocessing.tensor(image)
        except NotAnImageError as error:
            name = "the image" if isinstance(image, Image.Image) else path_from_here(Path(image))
            raise UserError(f"{name} cannot be read as an image: {error}") from error

    def train(self, mode: bool = True) -> TrainedModel:
        """Nothing: it stays in evaluation mode, also as a part of what is trained; its networks can be."""
        return super().train(False)


def load_autoencoder(place: str | Path, allow_targets: Sequence[str] = ()) -> TrainedModel:
    """The denoiser of a stage 1.

    Args:
        place: A run folder, a checkpoint of stage 1, or the folder of a sweep, of which the winner counts.
        allow_targets: Packages besides ours whose classes the checkpoint may name.

    Raises:
        UserError: It is not there, damaged, of another stage, or names a class that is not allowed.
    """
    encoder, decoder, source = checkpoint.load_autoencoder(run_of(place), allow_targets)
    return TrainedModel("autoencoder", source, encoder=encoder, decoder=decoder)


def load_encoder(place: str | Path, allow_targets: Sequence[str] = ()) -> TrainedModel:
    """The encoder of a stage 1, or of a classifier, which may have trained some of its blocks on.

    Args:
        place: A run folder, whose stage 1 is meant, a checkpoint of either stage, or the folder of a sweep.
        allow_targets: Packages besides ours whose classes the checkpoint may name.

    Raises:
        UserError: See ``load_autoencoder``.
    """
    network, source = checkpoint.load_encoder(run_of(place), allow_targets)
    return TrainedModel("encoder", source, encoder=network)


def load_classifier(place: str | Path, allow_targets: Sequence[str] = ()) -> TrainedModel:
    """The classifier of a stage 2.

    Args:
        place: A run folder, a checkpoint of stage 2, or the folder of a sweep, of which the winner counts.
        allow_targets: Packages besides ours whose classes the checkpoint may name.

    Raises:
        UserError: See ``load_autoencoder``.
    """
    encoder, head, source = checkpoint.load_classifier(run_of(place), allow_targets)
    return TrainedModel("classifier", source, encoder=encoder, head=head)


def run_of(place: str | Path) -> Path:
    """The place itself; of a sweep, the folder of its winner: the best job of the group that leads.

    Raises:
        CheckpointError: It is the folder of a sweep of which no job has completed.
    """
    place = Path(place)
    if not (place / "multirun.yaml").is_file():
        return place  # runs that merely lie side by side are not compared
    table = read_table(place)
    if table.winner is None:
        raise CheckpointError(f"{place}: a sweep of {len(table.jobs)} jobs, none of which has completed")
    return table.winner.folder
