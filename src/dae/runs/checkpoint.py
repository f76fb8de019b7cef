"""The only reader of weights: strict, by the checkpoint's own description, running no code of it."""

from __future__ import annotations

import hashlib
import importlib
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from torch import Tensor, nn

from dae.errors import UserError
from dae.words import path_from_here


class CheckpointError(UserError):
    """A checkpoint that is not there, cannot be read, or does not fit."""


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
    """

    path: Path
    tensors: dict[str, Tensor]
    hyper_parameters: dict[str, Any]
    metrics: dict[str, float]
    epochs: int
    seconds: float = 0.0

    @property
    def pretraining(self) -> str | None:
        """How its encoder was pretrained: ``denoising``, ``plain`` or ``none``; None if it does not say."""
        return self.hyper_parameters.get("pretraining")

    def __str__(self) -> str:
        """Where it lies, which run it comes from, how far that had got."""
        first = next((f", {name} {value:.4f}" for name, value in self.metrics.items()), "")
        run = self.hyper_parameters.get("run", "unknown")
        return f"{path_from_here(self.path)} (run {run}, epoch {self.epochs}{first})"


def find_checkpoint(place: str | Path) -> Path:
    """The checkpoint file that a file or a run folder stands for: a folder means its ``dae/best.ckpt``.

    Raises:
        CheckpointError: There is none.
    """
    place = Path(place)
    if place.is_file():
        return place
    candidates = [place / "dae" / "best.ckpt", place / "best.ckpt"]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    if not place.is_dir():
        raise CheckpointError(f"{place}: no such file or folder; expected a checkpoint or a run folder")
    found = sorted(str(file.relative_to(place)) for file in place.glob("**/*.ckpt"))
    advice = f"; it holds {', '.join(found[:5])}" if found else "; it holds no *.ckpt file at all"
    raise CheckpointError(f"{place}: a run folder with dae/best.ckpt was expected{advice}")


def read(place: str | Path) -> Checkpoint:
    """Open a checkpoint of ours with ``weights_only=True``.

    Raises:
        CheckpointError: It is not there, not a checkpoint, or not one of ours.
    """
    path = find_checkpoint(place)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{path} is not a checkpoint of plain values: {reason}") from error
    expected = {"state_dict", "hyper_parameters"}
    if not isinstance(content, dict) or not expected <= content.keys():
        raise CheckpointError(
            f"{path} is not a checkpoint of this project: it lacks {', '.join(sorted(expected))}"
        )
    return Checkpoint(
        path=path,
        tensors=content["state_dict"],
        hyper_parameters=content["hyper_parameters"],
        metrics=content.get("metrics", {}),
        epochs=content.get("epochs", 0),
        seconds=content.get("seconds", 0.0),
    )


def load_encoder(place: str | Path, allow_targets: Sequence[str] = ()) -> tuple[nn.Module, Checkpoint]:
    """The encoder of a checkpoint of either stage, rebuilt from the file alone.

    Args:
        place: A checkpoint file or a run folder.
        allow_targets: Packages besides ours whose classes the checkpoint may name.

    Raises:
        CheckpointError: See ``find_checkpoint``, ``read``, ``strict_load``; or the encoder may not be built.
    """
    checkpoint = read(place)
    if not _describes(checkpoint, "encoder"):
        raise CheckpointError(f"{checkpoint.path} holds no encoder: its classifier works on raw pixels")
    return _rebuilt(checkpoint, "encoder", allow_targets), checkpoint


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
            raise CheckpointError(f"{checkpoint.path} holds no {name}; expected a checkpoint of stage 1")
    encoder, decoder = (_rebuilt(checkpoint, name, allow_targets) for name in ("encoder", "decoder"))
    return encoder, decoder, checkpoint


def _describes(checkpoint: Checkpoint, name: str) -> bool:
    description = checkpoint.hyper_parameters.get(name)
    return isinstance(description, dict) and "_target_" in description


def _rebuilt(checkpoint: Checkpoint, name: str, allow_targets: Sequence[str]) -> nn.Module:
    """The encoder or the decoder of a checkpoint, by its own description, with its weights."""
    description = checkpoint.hyper_parameters[name]
    for target in _targets(description):
        _check_target(target, checkpoint.path, allow_targets)
    try:
        module = instantiate(description, _convert_="all")
    except Exception as error:
        raise CheckpointError(
            f"{checkpoint.path}: its {name} {description} cannot be built: {error}"
        ) from error
    strict_load(module, _below(checkpoint.tensors, f"{name}."), checkpoint.path, f"{name}.")
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
    """Copy ``tensors`` into ``module``; every name and every shape must be the same.

    Raises:
        CheckpointError: With all missing, unexpected and misshapen tensors, under their names in the file.
    """
    wanted = module.state_dict()
    problems = [
        f"missing     {prefix}{name} {_shape(wanted[name])}" for name in wanted if name not in tensors
    ]
    problems += [
        f"unexpected  {prefix}{name} {_shape(tensors[name])}" for name in tensors if name not in wanted
    ]
    problems += [
        f"misshapen   {prefix}{name} {_shape(tensors[name])}, expected {_shape(wanted[name])}"
        for name in wanted
        if name in tensors and tensors[name].shape != wanted[name].shape
    ]
    if problems:
        listing = "\n    ".join(problems)
        fitting = "\n    ".join(f"{prefix}{name} {_shape(tensor)}" for name, tensor in wanted.items())
        raise CheckpointError(
            f"{path} does not fit:\n    {listing}\n  What would have fitted:\n    {fitting}"
        )
    module.load_state_dict(dict(tensors), strict=True)


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


def _targets(node: Any) -> Iterator[str]:
    """Every ``_target_`` in a description, at any depth."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield str(node["_target_"])
        node = list(node.values())
    if isinstance(node, list | tuple):
        for member in node:
            yield from _targets(member)


def _check_target(target: str, path: Path, allow_targets: Sequence[str]) -> None:
    """A file may name a module class of ours, or of an allowed package; nothing else is even imported."""
    packages = ("dae.models", *allow_targets)
    module, _, name = target.rpartition(".")
    if any(f"{module}.".startswith(f"{package}.") for package in packages):
        try:
            found = getattr(importlib.import_module(module), name, None)
        except ImportError as error:
            raise CheckpointError(f"{path}: its network is a {target}, and {error}") from error
        # A name that a module merely imported belongs to somebody else.
        defined = f"{getattr(found, '__module__', '')}."
        own = any(defined.startswith(f"{package}.") for package in packages)
        if own and isinstance(found, type) and issubclass(found, nn.Module):
            return
    package = target.split(".")[0]
    raise CheckpointError(
        f"{path} asks to build {target}; only network classes of {', '.join(packages)} are built. "
        f"If you trust that file: 'allow_targets=[{package}]'"
    )
