"""The only reader and writer of weights: strict, by the checkpoint's own description, running no code."""

from __future__ import annotations

import hashlib
import io
import logging
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from dae.data.image_file import Preprocessing
from dae.errors import CheckpointError
from dae.files import atomic_path
from dae.metrics import MONITORS
from dae.models.description import OURS, build_described
from dae.schema import is_admitted
from dae.text import first_line, path_from_here, printable

log = logging.getLogger(__name__)

FORMAT: Literal[3] = 3
# The hyperparameters by which a checkpoint is rebuilt and used; the others say how it was trained.
DESCRIBED = ("preprocessing", "encoder", "decoder", "head", "classes", "pretraining", "run")


class AbsentError(CheckpointError):
    """A checkpoint, or a part of one, that is not there; what is there may be in order."""


class Checkpoint(BaseModel):
    """What a checkpoint of either stage holds, besides the state from which Lightning goes on.

    ``run.py`` hands the hyperparameters to the module, which Lightning saves with the state dict;
    ``StageCheckpoint`` adds metrics, epochs, seconds and whether the fit was stopped; ``write_content`` the
    format. ``read`` checks it, ``strict_load`` each tensor.

    Attributes:
        path: The file.
        tensors: Its state dict.
        hyper_parameters: Plain values, ``DESCRIBED`` among them.
        preprocessing: How its images are made of files.
        encoder: The description of that network, as of the others; None if it has none.
        classes: Their names, in the order of a classifier's outputs; none in stage 1.
        pretraining: How its encoder was pretrained.
        run: The run that made it.
        metrics: Validation metrics of these very weights.
        epochs: Epochs that were trained.
        seconds: What the stage had taken until then.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    path: Path
    format: Literal[3]
    tensors: dict[str, Tensor] = Field(alias="state_dict")
    hyper_parameters: dict[str, Any]
    preprocessing: Preprocessing
    encoder: dict[str, Any] | None = None
    decoder: dict[str, Any] | None = None
    head: dict[str, Any] | None = None
    classes: tuple[str, ...] = ()
    pretraining: Literal["denoising", "plain", "none"] | None = None
    run: str = "unknown"
    metrics: dict[str, float] = {}
    epochs: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        """Where it lies, which run it comes from, how far that had got."""
        names = (name for name in (*MONITORS.values(), *self.metrics) if name in self.metrics)
        figure = next((f", {name} {self.metrics[name]:.4f}" for name in names), "")
        return printable(f"{path_from_here(self.path)} (run {self.run}, epoch {self.epochs}{figure})")


def write_content(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all.

    Raises:
        OSError: The disk is full or write-protected.
    """
    written = io.BytesIO()  # torch keeps the operating system's errors to itself
    torch.save({**content, "format": FORMAT}, written)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(written.getbuffer())


def read_content(path: Path) -> dict[str, Any]:
    """What ``write_content`` has written, on the CPU; nothing in it is run.

    Raises:
        CheckpointError: It is damaged, by the checksums of its zip file, which torch does not look at, or it
            is no checkpoint of plain values.
    """
    try:
        with zipfile.ZipFile(path) as pieces:
            wrong = pieces.testzip()
        content = None if wrong else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make both raise whatever they happen to meet
        wrong = f"it is no checkpoint of plain values: {first_line(error)}"
    if wrong or not isinstance(content, dict):
        raise CheckpointError(
            f"{path_from_here(path)} is damaged, or no checkpoint of ours: {wrong or 'no dict'}"
        )
    return content


def find_checkpoint(place: str | Path, stage: str = "dae") -> Path:
    """The checkpoint file that a file or a run folder stands for: a folder means its ``<stage>/best.ckpt``.

    Raises:
        CheckpointError: There is none.
    """
    place = Path(place)
    for candidate in (place, place / stage / "best.ckpt", place / "best.ckpt"):
        if candidate.is_file():
            return candidate
    if not place.is_dir():
        raise CheckpointError(f"{place}: no such file or folder; expected a checkpoint or a run folder")
    found = sorted(str(file.relative_to(place)) for file in place.glob("**/*.ckpt"))
    holds = f"it holds {', '.join(found[:5])}" if found else "it holds no *.ckpt file at all"
    raise AbsentError(f"{place}: a run folder with {stage}/best.ckpt was expected; {holds}")


def read(place: str | Path, stage: str = "dae") -> Checkpoint:
    """Open a checkpoint of ours and check what is used of it.

    Args:
        place: A checkpoint file or a run folder.
        stage: Whose checkpoint of a run folder is meant.

    Raises:
        CheckpointError: It is not there, damaged, no checkpoint, or not one of ours.
    """
    path = find_checkpoint(place, stage)
    content = read_content(path)
    given = content.get("hyper_parameters")
    described = {key: given[key] for key in DESCRIBED if key in given} if isinstance(given, dict) else {}
    try:
        return Checkpoint.model_validate({**content, **described, "path": path})
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise CheckpointError(f"{path_from_here(path)} is no checkpoint of this version: {what}") from error


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """Where a stage goes on, as if it had not been stopped: its ``last.ckpt``; None to begin at the start.

    Epochs have seeds of their own, so the start leads to the same result.

    Args:
        folder: Of the stage.
    """
    last = folder / "last.ckpt"
    if not last.is_file() or not (folder / "best.ckpt").is_file():
        return None
    try:
        return read(last)
    except CheckpointError as error:
        log.warning("%s\n%s begins again at its start", error, folder.name)
        return None


def load_encoder(place: str | Path, allow_targets: Sequence[str] = ()) -> tuple[nn.Module, Checkpoint]:
    """The encoder of a checkpoint of either stage, rebuilt from the file alone.

    Args:
        place: A checkpoint file or a run folder.
        allow_targets: Packages besides ours whose classes the checkpoint may name.

    Raises:
        CheckpointError: See ``find_checkpoint``, ``read``, ``strict_load``; or the encoder may not be built.
    """
    checkpoint = read(place)
    if checkpoint.encoder is None:
        raise AbsentError(f"{checkpoint.path} holds no encoder: its classifier works on raw pixels")
    return _rebuilt(checkpoint, "encoder", allow_targets), checkpoint


def load_autoencoder(
    place: str | Path, allow_targets: Sequence[str] = ()
) -> tuple[nn.Module, nn.Module, Checkpoint]:
    """The encoder and the decoder of a stage 1 checkpoint; see ``load_encoder``."""
    checkpoint = read(place)
    if checkpoint.decoder is None:
        raise AbsentError(f"{checkpoint.path} holds no decoder; expected a checkpoint of stage 1")
    encoder, decoder = (_rebuilt(checkpoint, name, allow_targets) for name in ("encoder", "decoder"))
    return encoder, decoder, checkpoint


def load_classifier(
    place: str | Path, allow_targets: Sequence[str] = ()
) -> tuple[nn.Module, nn.Module, Checkpoint]:
    """The encoder and the head of a stage 2 checkpoint; see ``load_encoder``."""
    checkpoint = read(place, "classifier")
    if checkpoint.head is None:
        raise AbsentError(f"{checkpoint.path} holds no classifier; expected a checkpoint of stage 2")
    encoder = nn.Identity() if checkpoint.encoder is None else _rebuilt(checkpoint, "encoder", allow_targets)
    return encoder, _rebuilt(checkpoint, "head", allow_targets), checkpoint


def _rebuilt(checkpoint: Checkpoint, name: str, allow_targets: Sequence[str]) -> nn.Module:
    """A part of a checkpoint, by its own description, with its weights."""
    described, prefix, path = checkpoint.hyper_parameters[name], f"{name}.", checkpoint.path
    tensors = {
        key.removeprefix(prefix): tensor
        for key, tensor in checkpoint.tensors.items()
        if key.startswith(prefix)
    }
    if is_admitted(str(described.get("_target_")), OURS):  # sizes are compared before memory is taken
        _refuse_misfit(build_described(path, name, described, (), "meta"), tensors, path, prefix)
    module = build_described(path, name, described, allow_targets)
    strict_load(module, tensors, path, prefix)
    return module


def warm_start(autoencoder: nn.Module, place: str | Path) -> Checkpoint:
    """Load a stage 1 checkpoint into an autoencoder of the same shape.

    Raises:
        CheckpointError: See ``find_checkpoint``, ``read``, ``strict_load``.
    """
    checkpoint = read(place)
    strict_load(autoencoder, checkpoint.tensors, checkpoint.path)
    return checkpoint


def strict_load(module: nn.Module, tensors: Mapping[str, Tensor], path: Path, prefix: str = "") -> None:
    """Copy ``tensors`` into ``module``; every name, shape and kind of number must be the same, each finite.

    Raises:
        CheckpointError: With all missing, unexpected and misfit tensors, under their names in the file.
    """
    _refuse_misfit(module, tensors, path, prefix)
    module.load_state_dict(dict(tensors), strict=True)


def _refuse_misfit(module: nn.Module, tensors: Mapping[str, Tensor], path: Path, prefix: str) -> None:
    wanted = module.state_dict()
    lines = []
    for name in {**wanted, **tensors}:
        found, fitting = tensors.get(name), wanted.get(name)
        if found is None or fitting is None:
            word, tensor = ("missing", fitting) if found is None else ("unexpected", found)
            lines.append(f"{word:<11} {prefix}{name} {_kind(tensor)}")
        elif _kind(found) != _kind(fitting):
            lines.append(f"misfit      {prefix}{name} {_kind(found)}, expected {_kind(fitting)}")
        elif not torch.isfinite(found).all():
            lines.append(f"not finite  {prefix}{name}: the training of these weights has diverged")
    if lines:
        listing = "\n    ".join(lines)
        raise CheckpointError(f"{path_from_here(path)} does not fit:\n    {listing}")


def _kind(tensor: Any) -> str:
    """Shape and kind of number; weights may have been trained in another precision, a count is a count."""
    kind = "floats" if tensor.is_floating_point() else str(tensor.dtype)
    return f"{'x'.join(map(str, tensor.shape)) or 'scalar'} {kind}"


def content_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes; the same for the same content."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        digest.update(plain.view(-1).view(torch.uint8).numpy().data if plain.numel() else b"")
    return digest.hexdigest()
