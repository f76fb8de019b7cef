"""Which checkpoint is meant by a run folder, a checkpoint, or the folder of a sweep."""

from __future__ import annotations

import os
from pathlib import Path

from dae.errors import CheckpointError
from dae.sweeps.jobs import read_jobs
from dae.sweeps.ranking import rank_jobs


def run_of(place: str | Path) -> Path:
    """The place itself; of a sweep, the folder of its winner: the best job of the group that leads.

    Raises:
        CheckpointError: It is the folder of a sweep of which no job has completed.
    """
    place = Path(place)
    if not os.path.isdir(place) or (place / ".hydra").is_dir():  # noqa: PTH112 - no error for odd names
        return place
    jobs = read_jobs(place)
    if not jobs:
        return place
    winner = rank_jobs(place, jobs).winner
    if winner is None:
        raise CheckpointError(f"{place}: a sweep of {len(jobs)} jobs, none of which has completed")
    return winner.scored[0].folder
