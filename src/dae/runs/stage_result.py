"""The result of a stage in ``stage.json``, by which a run that goes on knows which stages are done."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from dae.runs.checkpoint import read
from dae.runs.records import Sign, Stage, read_stage, write_record

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageResult:
    """How a stage has ended.

    Attributes:
        metrics: Of the checkpoint that counts, validation and test.
        checkpoint: Its file.
        seconds: What the stage took, in all processes that had a part in it.
        epochs: How many were asked for.
        reused: Whether it had ended before, in this folder, and was not trained now.
        pruned: Whether a search has given it up: then there is no test.
        shared_from: Where it was trained, as seen from the run folder; None if that was here.
        signs: That little was learned; none where all is well.
    """

    metrics: dict[str, float]
    checkpoint: Path
    seconds: float
    epochs: int
    reused: bool = False
    pruned: bool = False
    shared_from: str | None = None
    signs: tuple[Sign, ...] = ()

    def save(self) -> None:
        """Write ``stage.json``, by which a run that goes on knows that this stage is through."""
        names = ("metrics", "seconds", "epochs", "shared_from")
        record = Stage(**{name: getattr(self, name) for name in names}, signs=list(self.signs))
        write_record(self.checkpoint.with_name("stage.json"), record)


def finished_stage(folder: Path, epochs: int) -> StageResult | None:
    """The result of a stage that is through after so many epochs; None if there is something to do.

    Raises:
        DamagedFileError: ``stage.json`` is damaged.
        CheckpointError: Its checkpoint cannot be used any more.
    """
    content = read_stage(folder)
    if content.get("epochs") != epochs:
        return None
    log.info("%s is done already", folder.name)
    signs = tuple(Sign(**sign) for sign in content.pop("signs"))
    return StageResult(**content, checkpoint=read(folder / "best.ckpt").path, reused=True, signs=signs)


def discard_stage(folder: Path) -> None:
    """Delete the result of a stage, since what it began from has changed."""
    for name in ("stage.json", "last.ckpt", "best.ckpt"):
        (folder / name).unlink(missing_ok=True)
