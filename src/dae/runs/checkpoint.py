"""The only reader of weights: strict, by the checkpoint's own description, running no code of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dae.data.preprocessing import Preprocessing
from dae.errors import CheckpointError
from dae.models.description import build_described
from dae.runs.checkpoint_file import read_content
from dae.runs.checkpoint_schema import refuse_other_fields
from dae.words import path_from_here, printable


class AbsentError(CheckpointError):
    """A checkpoint, or a part of one, that is not there; what is there may be in order."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint of either stage holds.

    Attributes:
        path: The file.
        tensors: Its state dict.
        hyper_parameters: Plain values; ``encoder`` is the encoder's own description.
        metrics: Validation metrics of these very weights.
        epochs: Epochs that were trained.
        seconds: What the stage had taken until then.
        training: All else that the file holds, from which Lightning goes on.
    """

    path: Path
    tensors: dict[str, Tensor]
    hyper_parameters: dict[str, Any]
    metrics: dict[str, float]
    epochs: int
    seconds: float = 0.0
    training: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def pretraining(self) -> str | None:
        """How its encoder was pretrained: ``denoising``, ``plain`` or ``none``; None if it does not say."""
        return self.hyper_parameters.get("pretraining")

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of a classifier's outputs; none in stage 1."""
        return tuple(self.hyper_parameters.get("classes") or ())

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How its images are made of files; None in one of format 1, which does not say."""
        described = self.hyper_parameters.get("preprocessing")
        return None if described is None else Preprocessing(**described)

    @property
    def images(self) -> dict[str, int]:
        """Side and channels of its images, by the keys of a config; none that it does not say."""
        encoder = self.hyper_parameters.get("encoder") or {}
        said = self.hyper_parameters.get("preprocessing") or {
            **encoder,
            "channels": encoder.get("in_channels"),
        }
        found = {f"data.{name}": said.get(name) for name in ("image_size", "channels")}
        return {key: number for key, number in found.items() if isinstance(number, int)}

    def __str__(self) -> str:
        """Where it lies, which run it comes from, how far that had got."""
        first = next((f", {name} {value:.4f}" for name, value in self.metrics.items()), "")
        run = self.hyper_parameters.get("run", "unknown")
        return printable(f"{path_from_here(self.path)} (run {run}, epoch {self.epochs}{first})")


def find_checkpoint(place: str | Path, stage: str = "dae") -> Path:
    """The checkpoint file that a file or a run folder stands for: a folder means its ``<stage>/best.ckpt``.

    Raises:
        CheckpointError: There is none.
    """
    place = Path(place)
    if os.path.isfile(place):  # noqa: PTH113 - Path.is_file raises errors where the name is impossible
        return place
    candidates = [place / stage / "best.ckpt", place / "best.ckpt"]
    for candidate in candidates:
        if os.path.isfile(candidate):  # noqa: PTH113
            return candidate
    if not os.path.isdir(place):  # noqa: PTH112
        raise CheckpointError(f"{place}: no such file or folder; expected a checkpoint or a run folder")
    found = sorted(str(file.relative_to(place)) for file in place.glob("**/*.ckpt"))
    advice = f"; it holds {', '.join(found[:5])}" if found else "; it holds no *.ckpt file at all"
    raise AbsentError(f"{place}: a run folder with {stage}/best.ckpt was expected{advice}")


def read(place: str | Path, stage: str = "dae") -> Checkpoint:
    """Open a checkpoint of ours, as ``read_content`` does, and check the type of everything in it.

    Args:
        place: A checkpoint file or a run folder.
        stage: Whose checkpoint of a run folder is meant.

    Raises:
        CheckpointError: It is not there, damaged, no checkpoint, or not one of ours.
    """
    path = find_checkpoint(place, stage)
    content = read_content(path)
    refuse_other_fields(path, content)
    own = {name: content.pop(name) for name in ("metrics", "epochs", "seconds") if name in content}
    tensors, described = content.pop("state_dict"), content.pop("hyper_parameters")
    return Checkpoint(
        path=path,
        tensors=tensors,
        hyper_parameters={**_head_of_format_1(tensors, described), **described},
        **{"metrics": {}, "epochs": 0, **own},
        training=content,
    )


def load_encoder(
    place: str | Path, allow_targets: Sequence[str] = (), stage: str = "dae"
) -> tuple[nn.Module, Checkpoint]:
    """The encoder of a checkpoint of either stage, rebuilt from the file alone.

    Args:
        place: A checkpoint file or a run folder.
        allow_targets: Packages besides ours whose classes the checkpoint may name.
        stage: Whose checkpoint of a run folder is meant.

    Raises:
        CheckpointError: See ``find_checkpoint``, ``read``, ``strict_load``; or the encoder may not be built.
    """
    checkpoint = read(place, stage)
    if not _describes(checkpoint, "encoder"):
        raise AbsentError(f"{checkpoint.path} holds no encoder: its classifier works on raw pixels")
    encoder = _rebuilt(checkpoint, "encoder", allow_targets)
    _output_shape(checkpoint, encoder)
    return encoder, checkpoint


def load_autoencoder(
    place: str | Path, allow_targets: Sequence[str] = ()
) -> tuple[nn.Module, nn.Module, Checkpoint]:
    """The encoder and the decoder of a stage 1 checkpoint, rebuilt from the file alone.

    Args:
        place: A checkpoint file or a run folder.
        allow_targets: Packages besides ours whose classes the checkpoint may name.

    Raises:
        CheckpointError: See ``load_encoder``; or it has no decoder, since it is of stage 2.
    """
    checkpoint = read(place)
    for name in ("encoder", "decoder"):
        if not _describes(checkpoint, name):
            raise AbsentError(f"{checkpoint.path} holds no {name}; expected a checkpoint of stage 1")
    encoder, decoder = (_rebuilt(checkpoint, name, allow_targets) for name in ("encoder", "decoder"))
    made, how = _output_shape(checkpoint, encoder, decoder), checkpoint.preprocessing
    if how is not None and made != (how.channels, how.image_size, how.image_size):
        raise CheckpointError(
            f"{checkpoint.path}: its decoder makes images of {made}, unlike those it was given"
        )
    return encoder, decoder, checkpoint


def load_classifier(
    place: str | Path, allow_targets: Sequence[str] = ()
) -> tuple[nn.Module, nn.Module, Checkpoint]:
    """The encoder and the head of a stage 2 checkpoint, rebuilt from the file alone.

    Args:
        place: A checkpoint file or a run folder.
        allow_targets: Packages besides ours whose classes the checkpoint may name.

    Raises:
        CheckpointError: See ``load_encoder``; or it has no head, since it is of stage 1.
    """
    checkpoint = read(place, "classifier")
    if not _describes(checkpoint, "head"):
        raise AbsentError(f"{checkpoint.path} holds no classifier; expected a checkpoint of stage 2")
    on_pixels = not _describes(checkpoint, "encoder")
    encoder = nn.Identity() if on_pixels else _rebuilt(checkpoint, "encoder", allow_targets)
    head, classes = _rebuilt(checkpoint, "head", allow_targets), checkpoint.classes
    made = _output_shape(checkpoint, encoder, head)
    if made not in (None, (len(set(classes)),)) or len(set(classes)) < len(classes):
        raise CheckpointError(
            f"{checkpoint.path}: its head gives {made}, its classes are {', '.join(classes)}"
        )
    return encoder, head, checkpoint


def _output_shape(checkpoint: Checkpoint, *parts: nn.Module) -> tuple[int, ...] | None:
    """The shape of what parts make of one image, one after the other; None if the file names no images.

    Raises:
        CheckpointError: They do not fit each other, or images as the file says they were.
    """
    how, described = checkpoint.preprocessing, checkpoint.hyper_parameters.get("encoder") or {}
    if how is None:
        return None
    modes = [part.training for part in parts]
    try:
        if described.get("image_size", how.image_size) != how.image_size:
            raise ValueError(f"its encoder takes {described['image_size']} pixels")
        with torch.no_grad():
            made = nn.Sequential(*parts).eval()(torch.zeros(1, how.channels, how.image_size, how.image_size))
        return tuple(made.shape[1:])
    except Exception as error:
        size = f"{how.channels} x {how.image_size} x {how.image_size}"
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{checkpoint.path}: it does not fit images of {size}: {why}") from error
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.train(mode)


def _head_of_format_1(tensors: Mapping[str, Tensor], described: Mapping[str, Any]) -> dict[str, Any]:
    """The description of a head that is of our class in any case; empty in stage 1."""
    first = tensors.get("head.1.weight")
    if first is None or first.dim() != 2:
        return {}
    sizes = {"features": first.shape[1], "classes": len(described.get("classes") or ())}
    return {
        "head": {"_target_": "dae.models.networks.ClassifierHead", **sizes, "hidden": described.get("hidden")}
    }


def _describes(checkpoint: Checkpoint, name: str) -> bool:
    return checkpoint.hyper_parameters.get(name) is not None


def _rebuilt(checkpoint: Checkpoint, name: str, allow_targets: Sequence[str]) -> nn.Module:
    """A part of a checkpoint, by its own description, with its weights."""
    tensors, prefix = _below(checkpoint.tensors, f"{name}."), f"{name}."

    def check(skeleton: nn.Module) -> None:
        _refuse_misfit(skeleton, tensors, checkpoint.path, prefix)

    described = checkpoint.hyper_parameters[name]
    module = build_described(checkpoint.path, name, described, allow_targets, check)
    strict_load(module, tensors, checkpoint.path, prefix)
    return module


def warm_start(autoencoder: nn.Module, place: str | Path) -> Checkpoint:
    """Load a stage 1 checkpoint into an autoencoder of the same shape.

    Raises:
        CheckpointError: See ``find_checkpoint``, ``read``, ``strict_load``.
    """
    checkpoint = read(place)
    strict_load(autoencoder, checkpoint.tensors, checkpoint.path, "")
    return checkpoint


def strict_load(module: nn.Module, tensors: Mapping[str, Tensor], path: Path, prefix: str) -> None:
    """Copy ``tensors`` into ``module``; every name, every shape and every kind of number must be the same.

    Raises:
        CheckpointError: With all missing, unexpected and misfit tensors, under their names in the file.
    """
    _refuse_misfit(module, tensors, path, prefix)
    module.load_state_dict(dict(tensors), strict=True)


def _refuse_misfit(module: nn.Module, tensors: Mapping[str, Tensor], path: Path, prefix: str) -> None:
    wanted = module.state_dict()
    problems = [
        f"missing     {prefix}{name} {_shape(wanted[name])}" for name in wanted if name not in tensors
    ]
    problems += [
        f"unexpected  {prefix}{name} {_shape(tensors[name])}" for name in tensors if name not in wanted
    ]
    both = [name for name in wanted if name in tensors]
    problems += [
        f"misshapen   {prefix}{name} {_shape(tensors[name])}, expected {_shape(wanted[name])}"
        for name in both
        if tensors[name].shape != wanted[name].shape
    ]
    problems += [
        f"mistyped    {prefix}{name} {tensors[name].dtype}, expected {wanted[name].dtype}"
        for name in both
        if not _same_kind(tensors[name].dtype, wanted[name].dtype)
    ]
    if problems:
        listing = "\n    ".join(problems)
        fitting = "\n    ".join(f"{prefix}{name} {_shape(tensor)}" for name, tensor in wanted.items())
        raise CheckpointError(
            f"{path} does not fit:\n    {listing}\n  What would have fitted:\n    {fitting}"
        )


def _same_kind(found: torch.dtype, wanted: torch.dtype) -> bool:
    """Weights may have been trained in another precision; a count is a count."""
    return found == wanted or (found.is_floating_point and wanted.is_floating_point)


def content_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes; the same for the same content."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        digest.update(plain.view(-1).view(torch.uint8).numpy().data if plain.numel() else b"")
    return digest.hexdigest()


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
