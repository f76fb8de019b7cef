"""Checks that a fit leaves frozen tensors as they were, whenever it was begun."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from dae.models.classifier import EncoderClassifier
from dae.runs.checkpoint import CheckpointError, content_hash
from dae.words import path_from_here

log = logging.getLogger(__name__)


class FrozenError(RuntimeError):
    """A fit changed what it was not to change: an error of the code, not of the user."""


class FrozenGuard(Callback):
    """Compares the content of the frozen tensors with what it was when the run began.

    Its hash is kept in the checkpoint. A fit that goes on has to agree with it, and with the encoder that was
    loaded again: neither may have been exchanged in the meantime.
    """

    def __init__(self) -> None:
        self.before: str | None = None
        self.loaded: dict[str, Tensor] | None = None

    def state_dict(self) -> dict[str, Any]:
        """The hash that holds for the whole run."""
        return {"frozen": self.before}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it over."""
        self.before = state_dict["frozen"]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Note the encoder that was loaded, before a checkpoint of this stage takes its place."""
        if stage == "fit":
            self.loaded = {name: tensor.detach().clone() for name, tensor in _frozen(pl_module).items()}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hash the frozen tensors before the first step.

        Raises:
            CheckpointError: The run began with others.
        """
        tensors = _frozen(pl_module)
        now, loaded, self.loaded = _hash(tensors), self.loaded, None
        if self.before is not None and now != self.before:
            raise CheckpointError(_exchanged(trainer, self.before, now))
        # Their precision is the trainer's by now.
        same = loaded is None or all(loaded[name].to(tensors[name]).equal(tensors[name]) for name in tensors)
        if not same:
            raise CheckpointError(_exchanged(trainer, _hash(loaded or {}), now))
        self.before = now

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hash them again.

        Raises:
            FrozenError: The hash differs.
        """
        after = _hash(_frozen(pl_module))
        if after != self.before:
            raise FrozenError(
                f"frozen tensors changed during the fit: sha256 {self.before} before, {after} after"
            )
        if self.before:
            log.info("Frozen tensors: sha256 %.12s before and after the fit", after)


def _frozen(module: LightningModule) -> dict[str, Tensor]:
    assert isinstance(module, EncoderClassifier)
    return module.frozen_tensors()


def _hash(tensors: dict[str, Tensor]) -> str:
    return content_hash(tensors) if tensors else ""


def _exchanged(trainer: Trainer, begun: str, now: str) -> str:
    path = path_from_here(Path(str(trainer.ckpt_path)))
    return (
        f"{path}: its frozen tensors are not those of the encoder that the run began with "
        f"(sha256 {begun:.12}, now {now:.12})\n"
        "      bring that encoder's checkpoint back if it was exchanged; "
        f"else train the stage again: rm {shlex.quote(path)}"
    )
