"""Groups of jobs that differ in ``seed`` alone, ranked by their mean objective."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dae.metrics import Metric
from dae.sweeps.jobs import Job


@dataclass(frozen=True)
class Group:
    """Jobs that differ in ``seed`` alone.

    Args:
        jobs: At least one.
        objective: The metric that the leaderboard ranks by; jobs that are judged by another one do not count.
    """

    jobs: tuple[Job, ...]
    objective: Metric | None

    @cached_property
    def scored(self) -> list[Job]:
        """The jobs that count for the figures, the best first."""
        found = [job for job in self.jobs if job.status == "completed" and job.value is not None]
        found = [job for job in found if job.objective == self.objective]
        return sorted(found, key=lambda job: _ascending(job.value, self.objective))

    @property
    def failed(self) -> int:
        """How many jobs have ended without a figure."""
        return sum(job.failed for job in self.jobs)

    @cached_property
    def mean(self) -> float | None:
        """Mean objective; None if no job has completed."""
        return mean_std(job.value for job in self.scored)[0]

    @cached_property
    def std(self) -> float | None:
        """Sample standard deviation of the objective; None for fewer than two jobs."""
        return mean_std(job.value for job in self.scored)[1]

    def figures(self, metric: str) -> tuple[float | None, float | None]:
        """Mean and sample standard deviation of a metric over the jobs that count."""
        return mean_std(job.metrics.get(metric) for job in self.scored)


@dataclass(frozen=True)
class Leaderboard:
    """A sweep's jobs and their groups, the best group first, those without figures last.

    Attributes:
        folder: The sweep's.
        objective: The one that most jobs are judged by; None before any job knows its own.
        swept: The keys whose values differ between the jobs, ``seed`` too, in the order of the command.
        compare: The key whose values are to be compared; None compares nothing.
    """

    folder: Path
    jobs: tuple[Job, ...]
    objective: Metric | None
    swept: tuple[str, ...]
    groups: tuple[Group, ...]
    compare: str | None = None

    @property
    def keys(self) -> list[str]:
        """The swept keys in which groups differ."""
        return [key for key in self.swept if key != "seed"]

    @cached_property
    def ranks(self) -> list[int | None]:
        """A rank a group: 1, 2, 2, 4 where two have the same mean; None without figures."""
        means = [group.mean for group in self.groups]
        return [None if mean is None else means.index(mean) + 1 for mean in means]

    @cached_property
    def metrics(self) -> list[str]:
        """All metrics that any job has measured."""
        return sorted({name for job in self.jobs for name in job.metrics})

    @property
    def winner(self) -> Group | None:
        """The group that leads; None if no job has completed."""
        return self.groups[0] if self.groups and self.groups[0].scored else None

    def checkpoint(self, job: Job) -> str | None:
        """The file of a job's objective, relative to the folder of the sweep."""
        return None if job.checkpoint is None else f"{job.folder.name}/{job.checkpoint}"


def rank_jobs(sweep_folder: Path, jobs: Sequence[Job], compare: str | None = None) -> Leaderboard:
    """Group the jobs of a sweep and order the groups."""
    objective = _common_objective(jobs)
    by_values: dict[tuple[tuple[str, str], ...], list[Job]] = {}
    for job in jobs:
        values = {key: value for key, value in job.values.items() if key != "seed"}
        by_values.setdefault(tuple(sorted(values.items())), []).append(job)
    groups = [Group(tuple(members), objective) for members in by_values.values()]
    groups.sort(key=lambda group: _ascending(group.mean, objective))  # stable: ties by their folders' names
    return Leaderboard(sweep_folder, tuple(jobs), objective, _swept(jobs), tuple(groups), compare)


def _common_objective(jobs: Sequence[Job]) -> Metric | None:
    measured = [job.objective for job in jobs if job.value is not None]
    known = [objective for objective in measured or (job.objective for job in jobs) if objective]
    return Counter(known).most_common(1)[0][0] if known else None


def _swept(jobs: Sequence[Job]) -> tuple[str, ...]:
    values = [job.values for job in jobs]
    keys = dict.fromkeys(key for each in values for key in each)
    return tuple(key for key in keys if len({each.get(key) for each in values}) > 1)


def _ascending(value: float | None, objective: Metric | None) -> float:
    """A number that is smaller the better the value is; the largest if there is none."""
    if value is None or objective is None:
        return float("inf")
    return value if objective.mode == "min" else -value


def mean_std(values: Iterable[float | None]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation (n - 1) of the values that are there; None if n is too small."""
    numbers = [value for value in values if value is not None]
    mean = statistics.fmean(numbers) if numbers else None
    return mean, statistics.stdev(numbers) if len(numbers) > 1 else None
