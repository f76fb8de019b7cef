"""Commands to type after a sweep, quoted so that they can be pasted."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dae.runs.records import read_hydra, read_or_empty
from dae.sweeps.compared import QUESTIONS
from dae.sweeps.jobs import Job
from dae.sweeps.ranking import Leaderboard
from dae.text import path_from_here, quoted_override, train_command

# What a sweep varies, as an override of Hydra's (see `hook.py`); nobody types it.
SWEPT = "hydra.callbacks.sweep_folder.swept"


def next_commands(board: Leaderboard) -> dict[str, str]:
    """Label -> command, only those that make sense for this sweep."""
    hydra = read_or_empty(read_hydra, board.folder / "multirun.yaml")
    found = {}
    if board.winner:
        found["the winner again"] = rerun_command(board.winner.scored[0], hydra)
        if len(board.winner.jobs) > 1:
            found["with all its seeds"] = all_seeds_command(board.winner.jobs, hydra, board.compare)
    if hydra:
        found["continue or extend"] = continue_command(board.folder, hydra)
    asked = next((key for key in QUESTIONS if key in board.keys), None)
    if asked and board.compare is None and "sampler" not in hydra.get("sweeper", {}):
        found["compare"] = compare_command(board.folder, asked)
    return found


def compare_command(folder: Path, key: str) -> str:
    """The command that compares the values of a key in a sweep that has ended."""
    return shlex.join(["dae", "leaderboard", path_from_here(folder.absolute()), "--compare", key])


def rerun_command(job: Job, hydra: dict[str, Any]) -> str:
    """The command that runs a job alone.

    Args:
        job: A job of a sweep.
        hydra: Hydra's own config of that sweep.
    """
    # An experiment that is a sweep would be one again.
    alone = [] if _typed_as_sweep(hydra) else ["hydra.mode=RUN"]
    return shlex.join([*train_command().split(), *config_flags(hydra), *alone, *job.overrides])


def all_seeds_command(jobs: Sequence[Job], hydra: dict[str, Any], compare: str | None = None) -> str:
    """The command that runs jobs which differ in ``seed`` alone, so that there is nothing to compare.

    Args:
        jobs: Of a sweep.
        hydra: Hydra's own config of that sweep.
        compare: The key that the sweep compares.
    """
    shared = [text for text in jobs[0].overrides if text.lstrip("+").partition("=")[0] != "seed"]
    # A job without the override has the default, 0.
    seeds = sorted({job.values.get("seed", "0") for job in jobs}, key=lambda seed: (len(seed), seed))
    return shlex.join(
        [
            *train_command().split(),
            *config_flags(hydra),
            "-m",
            *shared,
            f"seed={','.join(seeds)}",
            *without_comparison(shared, compare),
        ]
    )


def without_comparison(overrides: Sequence[str], compare: str | None) -> list[str]:
    """What keeps a command from comparing a key that an experiment may name, where that is not swept."""
    return ["compare=null"] if compare and any(text.startswith("experiment=") for text in overrides) else []


def continue_command(folder: Path, hydra: dict[str, Any]) -> str:
    """The command that runs the jobs that a sweep has not completed, in its own folder."""
    not_again = ("hydra.mode=", "hydra.sweep.dir=", f"{SWEPT}=")
    launched = [text for text in _overrides(hydra, "hydra") if not text.startswith(not_again)]
    typed = [*launched, *_overrides(hydra, "task")]
    begin = shlex.join([*train_command().split(), *config_flags(hydra), "-m"])
    place = quoted_override("hydra.sweep.dir", path_from_here(folder.absolute()))
    return f"{begin} {place} {shlex.join(typed)}".rstrip()


def _overrides(hydra: Mapping[str, Any], kind: str) -> list[str]:
    return list(hydra.get("overrides", {}).get(kind, []))


def _typed_as_sweep(hydra: dict[str, Any]) -> bool:
    """Whether ``-m`` made it a sweep, and not its config: Hydra writes down ``-m`` as an override."""
    return not hydra or "hydra.mode=MULTIRUN" in _overrides(hydra, "hydra")


def config_flags(hydra: Mapping[str, Any]) -> list[str]:
    """The flags that name the configs of a run; they stand in front of its overrides."""
    sources = (hydra.get("runtime") or {}).get("config_sources") or []
    folders = [Path(source["path"]) for source in sources if source["provider"].endswith("command-line")]
    words = [word for folder in folders for word in ("--config-dir", path_from_here(folder))]
    name = (hydra.get("job") or {}).get("config_name", "train")
    return words if name == "train" else [*words, "--config-name", name]
