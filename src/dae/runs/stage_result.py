"""The result of a stage in ``stage.json``, by which a run that goes on knows which stages are done."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from dae.files import write_json
from dae.runs.checkpoint import read
from dae.runs.records import read_stage
from dae.runs.signs import Sign
from dae.words import path_from_here

log = logging.getLogger(__name__)

# Of a stage's result: what ``stage.json`` holds besides the signs; and of a sign.
RECORDED = ("metrics", "seconds", "epochs", "shared_from")
SIGN = tuple(field.name for field in fields(Sign))


@dataclass(frozen=True)
class StageResult:
    """How a stage has ended.

    Attributes:
        metrics: Of the checkpoint that counts, validation and test.
        checkpoint: Its file.
        seconds: What the stage took, in all processes that had a part in it.
        epochs: How many were asked for.
        taken: Whether it had ended before, in this folder, and was not trained now.
        pruned: Whether a search has given it up: then there is no test.
        shared_from: Where it was trained, as seen from the run folder; None if that was here.
        signs: That little was learned; none where all is well.
    """

    metrics: dict[str, float]
    checkpoint: Path
    seconds: float
    epochs: int
    taken: bool = False
    pruned: bool = False
    shared_from: str | None = None
    signs: tuple[Sign, ...] = ()

    def save(self) -> None:
        """Write ``stage.json``, by which a run that goes on knows that this stage is through."""
        content = {name: getattr(self, name) for name in RECORDED}
        signs = [asdict(sign) for sign in self.signs]
        write_json(self.checkpoint.with_name("stage.json"), {**content, "signs": signs})


def finished_stage(folder: Path, epochs: int) -> StageResult | None:
    """The result of a stage that is through after so many epochs; None if there is something to do.

    Raises:
        DamagedFileError: ``stage.json`` is damaged.
        CheckpointError: Its checkpoint cannot be used any more.
    """
    content = read_stage(folder)
    if content.get("epochs") != epochs:
        return None
    best = read(folder / "best.ckpt").path
    log.info("%s is taken as it is: %s", folder.name, path_from_here(best))
    signs = tuple(Sign(**{name: sign[name] for name in SIGN}) for sign in content.get("signs", ()))
    known = {name: content[name] for name in RECORDED if name in content}
    return StageResult(**known, checkpoint=best, taken=True, signs=signs)


def discard_stage(folder: Path) -> None:
    """Delete the result of a stage, since what it began from has changed."""
    for name in ("stage.json", "last.ckpt", "best.ckpt", "wandb.id", "mlflow.id"):
        (folder / name).unlink(missing_ok=True)
