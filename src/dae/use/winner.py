"""Which run is meant by a run folder, a checkpoint, or the folder of a sweep; what it lacks."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from dae.errors import CheckpointError, UserError
from dae.runs.checkpoint import find_checkpoint
from dae.sweeps.jobs import read_overrides
from dae.sweeps.table import read_table
from dae.text import path_from_here, quoted_override, train_command


def run_of(place: str | Path) -> Path:
    """The place itself; of a sweep, the folder of its winner: the best job of the group that leads.

    Raises:
        CheckpointError: It is the folder of a sweep of which no job has completed.
    """
    place = Path(place)
    if not os.path.isfile(place / "multirun.yaml"):  # noqa: PTH113 - no error for odd names
        return place  # runs that merely lie side by side are not compared
    table = read_table(place)
    if table.winner is None:
        raise CheckpointError(f"{place}: a sweep of {len(table.jobs)} jobs, none of which has completed")
    return table.winner.folder


def classifier_command(run: Path, allow_targets: Sequence[str] = ()) -> str:
    """The command that trains a classifier on the encoder of a run, with its data; empty if it has none.

    Args:
        run: A run folder, or a checkpoint in one.
        allow_targets: Packages besides ours whose classes the checkpoint may name.
    """
    try:
        folder = find_checkpoint(run).parent.parent
        overrides = read_overrides(folder)
    except UserError:
        return ""
    data = [word for word in overrides if word.startswith(("data=", "data."))]
    words = [f"{train_command()} stage=classifier"]
    words.append(quoted_override("classifier.encoder_checkpoint", path_from_here(run)))
    words += map(shlex.quote, data)
    if allow_targets:
        words.append(quoted_override("allow_targets", f"[{', '.join(allow_targets)}]"))
    return " ".join(words)
