"""Where a stage goes on: its newest checkpoint that is whole."""

from __future__ import annotations

import logging
from pathlib import Path

from dae.keys import select
from dae.runs.checkpoint import Checkpoint, read
from dae.runs.checkpoint_file import DamagedCheckpointError
from dae.words import path_from_here

log = logging.getLogger(__name__)


def newest_whole_checkpoint(folder: Path) -> Checkpoint | None:
    """The checkpoint from which a fit goes on as if it had not been stopped; None to begin at the start.

    That is ``last.ckpt``, where the best epoch so far can be read too; else ``best.ckpt`` if it was written
    at the end of an epoch; else none: epochs have seeds of their own, so the start leads to the same result.

    Args:
        folder: Of the stage.

    Raises:
        CheckpointError: One is whole, but not what this version reads, or holds what it should not.
    """
    last, why_not_last = _whole(folder / "last.ckpt")
    best, why_not_best = _whole(folder / "best.ckpt")
    if last is not None and (best is not None or not _has_a_best(last)):
        return last
    found = best if best is not None and _ended_an_epoch(best) else None
    reasons = list(filter(None, [why_not_last, why_not_best]))
    if last is not None and best is None and not reasons:
        reasons = [f"{path_from_here(folder / 'best.ckpt')} is not there"]
    if reasons:
        start = (
            f"goes on from {found.path.name}, epoch {found.epochs}" if found else "begins again at its start"
        )
        log.warning("%s: %s %s", "; ".join(reasons), folder.name, start)
    return found


def _whole(path: Path) -> tuple[Checkpoint | None, str]:
    """The checkpoint, or in words why it is of no use."""
    if not path.is_file():
        return None, ""
    try:
        return read(path), ""
    except DamagedCheckpointError as error:
        return None, str(error).splitlines()[0]


def _has_a_best(last: Checkpoint) -> bool:
    return bool(select(last.training, "callbacks.StageCheckpoint.best_model_path"))


def _ended_an_epoch(checkpoint: Checkpoint) -> bool:
    """Whether it was written behind an epoch, and not behind a validation within it."""
    loop = "loops.fit_loop.epoch_progress.current"
    started, processed = (select(checkpoint.training, f"{loop}.{name}") for name in ("started", "processed"))
    return isinstance(started, int) and started == processed > 0
