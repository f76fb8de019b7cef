"""Interrupts a stage that has trained for ``trainer.max_time``."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, NonNegativeInt
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Timer

from dae.errors import TimeUp
from dae.words import counted


def _known_duration(text: str) -> str:
    if not re.fullmatch(r"\d+:\d\d:\d\d:\d\d", text):
        raise ValueError("expected days:hours:minutes:seconds like 00:01:30:00, or a mapping like {hours: 2}")
    return text


Unit = Literal["weeks", "days", "hours", "minutes", "seconds"]
Duration = Annotated[str, AfterValidator(_known_duration)] | dict[Unit, NonNegativeInt]


class TimeLimit(Timer):
    """Ends the run between two steps, as Ctrl-C would, so that resuming equals not having stopped.

    Lightning's Timer ends the epoch early instead: half an epoch would count as one.

    Args:
        max_time: Since the stage began to train in this process; a run that is resumed has all of it again.
    """

    def __init__(self, max_time: Duration) -> None:
        super().__init__(cast(Any, max_time), verbose=False)
        self.max_time = max_time

    def on_fit_start(self, trainer: Trainer, *_: Any) -> None:
        """Nothing can be up yet."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Look at the clock. At an epoch's end its checkpoint is written before the next batch starts."""
        left = self.time_remaining()
        if left is not None and left <= 0:
            done = f"{trainer.current_epoch} of {counted(trainer.max_epochs or 0, 'epoch')}"
            raise TimeUp(
                f"the time is up: {pl_module.stage} has done {done} in trainer.max_time={self.max_time}"
            )

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Lightning's would stop the epoch here."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the time is this process's."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing: the time is this process's."""
