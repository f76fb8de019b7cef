"""From the jobs of a sweep to the comparison that it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from dae.metrics import Metric
from dae.runs.records import read_or_empty, read_stage, read_tested, shared_stage_folder
from dae.sweeps.compared import given_values, in_given_order
from dae.sweeps.comparison import Comparison, Others, Place
from dae.sweeps.jobs import Job, modified_time
from dae.sweeps.ranking import Leaderboard

NOT_GIVEN = "(not given)"


def compare_arms(board: Leaderboard) -> Comparison | None:
    """Compare as the board is asked to.

    Returns:
        None if nothing is asked for, or no job knows yet what it is judged by.
    """
    key, objective = board.compare, board.objective
    if key is None or objective is None:
        return None
    with_key = [job for job in board.jobs if key in job.values]
    others = tuple(name for name in board.keys if name != key)
    jobs = {_place(job, key, others): job for job in with_key}
    arms = in_given_order(board.folder, key, (arm for *_, arm in jobs))
    if not with_key or len(arms) < 2:
        return None
    metric = _tested(objective, with_key)
    seeds = {*(seed for _, seed, _ in jobs), *given_values(board.folder, "seed")}
    return Comparison(
        key=key,
        metric=metric,
        arms=tuple(arms),
        others=others,
        combinations=tuple(_ordered(board, others, {combination for combination, *_ in jobs})),
        seeds=tuple(sorted(seeds, key=lambda seed: (len(seed), seed))),
        jobs=jobs,
        without_key=len(board.jobs) - len(with_key),
        objective=objective,
        images=next(filter(None, (_test_images(job, metric.name) for job in with_key)), None),
    )


def _tested(objective: Metric, jobs: Sequence[Job]) -> Metric:
    """The objective on the test set; itself if it was measured, and that was not, as the probe is."""
    tested = Metric(objective.name.replace("/val/", "/test/"), objective.mode)
    measured = {name for job in jobs for name in job.metrics}
    return objective if objective.name in measured and tested.name not in measured else tested


def _test_images(job: Job, metric: str) -> int | None:
    """How many test images a metric was measured on; None if the folder of the job does not say so."""
    if "/test/" not in metric:
        return None
    stage, _, name = metric.split("/")
    shared = read_or_empty(read_stage, job.folder / stage).get("shared_from")
    folder = shared_stage_folder(job.folder, shared, stage)
    return _images_in(folder, name, modified_time(folder / "test.json"))


@lru_cache(maxsize=64)
def _images_in(folder: Path, name: str, modified: int) -> int | None:
    content = read_or_empty(read_tested, folder)
    # What a callback measures may be of fewer images than the test set has.
    each = content.get(name)
    return len(each) if isinstance(each, list) else content.get("images")


def _place(job: Job, key: str, others: Sequence[str]) -> Place:
    values = job.values
    # A job without the override has the default, 0.
    return tuple(values.get(name, NOT_GIVEN) for name in others), values.get("seed", "0"), values[key]


def _ordered(board: Leaderboard, others: Sequence[str], combinations: set[Others]) -> list[Others]:
    """Combinations in the order in which the values of each key were given."""
    # Jobs come in the order of their folders' names, which is the same each time.
    found = [[job.values.get(name, NOT_GIVEN) for job in board.jobs] for name in others]
    orders = [in_given_order(board.folder, name, values) for name, values in zip(others, found, strict=True)]
    return sorted(
        combinations,
        key=lambda each: [order.index(value) for order, value in zip(orders, each, strict=True)],
    )
