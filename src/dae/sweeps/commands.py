"""Commands to type after a sweep, quoted so that they can be pasted."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dae.runs.records import read_hydra, read_or_empty
from dae.sweeps.order import FILE
from dae.sweeps.table import SweepTable
from dae.text import command, path_from_here, quoted_override, run_alone

# What a job is told of its sweep, as overrides of Hydra's (see `hook.py`); nobody types them.
TOLD = "hydra.callbacks.sweep_folder."
# The keys of the question that this project asks, in the order in which they are proposed.
QUESTIONS = ("pretraining", "classifier", "classifier.encoder")


def next_commands(table: SweepTable) -> dict[str, str]:
    """Label -> command, only those that make sense for this sweep."""
    hydra = read_or_empty(read_hydra, table.folder / "multirun.yaml")
    found = {}
    if hydra and table.winner:
        found["the winner again"] = command(hydra, *run_alone(table.winner.overrides))
    if hydra:
        found["continue or extend"] = continue_command(table.folder, hydra)
    asked = next((key for key in QUESTIONS if key in table.keys), None)
    if asked and not (table.folder / FILE).is_file() and "sampler" not in hydra.get("sweeper", {}):
        folder = path_from_here(table.folder.absolute())
        found["compare"] = shlex.join(["dae", "leaderboard", folder, "--compare", asked])
    return found


def continue_command(folder: Path, hydra: Mapping[str, Any]) -> str:
    """The command that runs the jobs that a sweep has not completed, in its own folder."""
    typed = hydra.get("overrides") or {}
    not_again = ("hydra.mode=", "hydra.sweep.dir=", TOLD)
    launched = [text for text in typed.get("hydra", []) if not text.startswith(not_again)]
    place = quoted_override("hydra.sweep.dir", path_from_here(folder.absolute()))
    begin = command(hydra, "-m")
    return f"{begin} {place} {shlex.join([*launched, *typed.get('task', [])])}".rstrip()
