"""Stops a stage that no longer improves."""

from __future__ import annotations

from typing import Any

from pydantic import NonNegativeFloat, PositiveInt
from pytorch_lightning import LightningModule, Trainer, callbacks
from torch import Tensor

from dae.training.checkpointing import StageCheckpoint, refuse_other_state


class EarlyStopping(callbacks.EarlyStopping):
    """Lightning's, on whatever decides the stage's ``best.ckpt``.

    Args:
        patience: Validations without improvement before the stop.
        min_delta: What counts as one, in the unit of the metric.
    """

    def __init__(self, patience: PositiveInt = 3, min_delta: NonNegativeFloat = 0.0) -> None:
        super().__init__(monitor="", patience=patience, min_delta=min_delta)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over how long there has been no improvement."""
        kinds = {"wait_count": int, "stopped_epoch": int, "patience": int, "best_score": Tensor}
        refuse_other_state(state_dict, kinds)
        super().load_state_dict(state_dict)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Watch the metric that decides the checkpoint."""
        (checkpoint,) = (c for c in trainer.checkpoint_callbacks if isinstance(c, StageCheckpoint))
        assert checkpoint.monitor is not None  # rules.py refuses it where nothing is chosen
        self.monitor = checkpoint.monitor
        self.mode = checkpoint.mode
        self.min_delta = abs(self.min_delta) * (1 if self.mode == "max" else -1)
        if stage == "fit":
            self.best_score = self.best_score.new_tensor(float("-inf" if self.mode == "max" else "inf"))
        super().setup(trainer, pl_module, stage)
