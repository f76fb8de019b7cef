"""A sweep as a table: a row a job, a column for each key in which the resolved configs differ."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from dae.metrics import Metric
from dae.runs.records import PATH_KEYS
from dae.schema import NO_PART_OF_A_RUN
from dae.sweeps.jobs import Job, read_jobs

# No column: what is repeated, and what makes no run another run.
NO_COLUMN = ("seed", *NO_PART_OF_A_RUN, "threads", "resume", "allow_targets")
ABSENT = "-"


@dataclass(frozen=True)
class Group:
    """The jobs of one config, which differ in their seed alone.

    Args:
        jobs: At least one.
        objective: What the table ranks by; jobs that are judged by another metric do not count.
    """

    jobs: tuple[Job, ...]
    objective: Metric | None

    @cached_property
    def scored(self) -> list[Job]:
        """The jobs that count for the figures, one a seed, the best first."""
        by_seed: dict[str, Job] = {}
        for job in self.jobs:
            if job.status == "completed" and job.value is not None and job.objective == self.objective:
                by_seed.setdefault(job.seed, job)
        return sorted(by_seed.values(), key=lambda job: _ascending(job.value, self.objective))

    def figures(self, metric: str | None) -> tuple[float | None, float | None]:
        """Mean and sample standard deviation of a metric over the jobs that count; None without enough."""
        values = [job.metrics[metric] for job in self.scored if metric and metric in job.metrics]
        mean = statistics.fmean(values) if values else None
        return mean, statistics.stdev(values) if len(values) > 1 else None

    @property
    def mean(self) -> float | None:
        """Mean objective; None if no job has completed."""
        return self.figures(self.objective.name if self.objective else None)[0]

    @property
    def failed(self) -> int:
        """How many jobs have ended without a figure."""
        return sum(job.failed for job in self.jobs)

    def __getitem__(self, key: str) -> str:
        return self.jobs[0].values[key]


@dataclass(frozen=True)
class SweepTable:
    """The jobs of a sweep.

    Attributes:
        folder: The sweep's.
        jobs: Ordered by their folders' names, each with its value in each column.
        keys: The columns, without the seed.
        objective: The one that most jobs are judged by; None before any job knows its own.
    """

    folder: Path
    jobs: tuple[Job, ...]
    keys: tuple[str, ...]
    objective: Metric | None

    @cached_property
    def groups(self) -> list[Group]:
        """The best first, those without figures last."""
        by_values: dict[tuple[str, ...], list[Job]] = {}
        for job in (job for job in self.jobs if job.config or job.failed):
            by_values.setdefault(tuple(job.values.values()), []).append(job)
        groups = [Group(tuple(jobs), self.objective) for jobs in by_values.values()]
        return sorted(groups, key=lambda group: _ascending(group.mean, self.objective))

    @cached_property
    def ranks(self) -> list[int | None]:
        """A rank a group: 1, 2, 2, 4 where two have the same mean; None without figures."""
        means = [group.mean for group in self.groups]
        return [None if mean is None else means.index(mean) + 1 for mean in means]

    @property
    def winner(self) -> Job | None:
        """The best job of the group that leads; None if no job has completed."""
        return self.groups[0].scored[0] if self.groups and self.groups[0].scored else None

    @cached_property
    def metrics(self) -> list[str]:
        """All that any job has measured."""
        return sorted({name for job in self.jobs for name in job.metrics})


def read_table(folder: Path) -> SweepTable:
    """Read all jobs of a sweep."""
    jobs = read_jobs(folder)
    known = [job for job in jobs if job.config]
    columns = differing_keys(known)
    rows = [
        replace(job, values={key: cells.get(job.folder, ABSENT) for key, cells in columns.items()})
        for job in jobs
    ]
    return SweepTable(folder, tuple(rows), tuple(columns), _common_objective(jobs))


def merged(table: SweepTable, node: str) -> SweepTable:
    """The table with one column for all keys of a node of the config: ``dae.noise``: ``gaussian std 0.3``.

    A value names the choice of the group and all that is set below: it stays the same when others join.
    """
    below = [key for key in table.keys if is_below(key, node)]
    if node in table.keys or not below:
        return table

    def words(job: Job) -> str:
        own = [key for key in job.config if is_below(key, node) and "._" not in key]
        settings = (f"{key.rpartition('.')[2]} {job.config[key]}" for key in own)
        return " ".join([job.choices.get(node.replace(".", "/"), ABSENT), *settings])

    rest = tuple(key for key in table.keys if key not in below)
    values = [{key: job.values[key] for key in rest} | {node: words(job)} for job in table.jobs]
    jobs = tuple(replace(job, values=own) for job, own in zip(table.jobs, values, strict=True))
    return replace(table, jobs=jobs, keys=(*rest, node))


def differing_keys(jobs: Sequence[Job]) -> dict[str, dict[Path, str]]:
    """The value of each job for each key, or group of the config, in which some of them differ.

    A key is left out where the choice of a group decides it: beside ``classifier: linear, notebook`` there is
    no ``classifier.hidden``, unless jobs of one choice differ in it.
    """
    typed = {text.lstrip("+~").partition("=")[0] for job in jobs for text in job.overrides}
    leaves = dict.fromkeys(key for job in jobs for key in job.config)
    keys = [key for key in leaves if key not in NO_COLUMN and (key not in PATH_KEYS or key in typed)]
    cells = {key: [job.config.get(key, ABSENT) for job in jobs] for key in keys}
    cells = {key: column for key, column in cells.items() if len({*column}) > 1}
    # Jobs of one config may have come to it by different words: those of the first count.
    words: dict[tuple[str, ...], Job] = {}
    for job, *values in zip(jobs, *cells.values(), strict=True):
        words.setdefault(tuple(values), job)
    named = [words[tuple(values)] for values in zip(*cells.values(), strict=True)] if cells else []
    groups = sorted({group for job in named for group in job.choices}, key=lambda group: len(_node(group)))
    found: dict[str, list[str]] = {}
    for name in [*groups, *cells]:
        column = cells[name] if name in cells else [job.choices.get(name, ABSENT) for job in named]
        over = [values for key, values in found.items() if key in groups and is_below(name, _node(key))]
        decided = [*zip(*over, strict=True)] if over else [()] * len(jobs)
        changes = name in cells or any(is_below(key, _node(name)) for key in cells)
        if changes and len({*zip(decided, column, strict=True)}) > len({*decided}):
            found[name] = column
    folders = [job.folder for job in jobs]
    return {name: dict(zip(folders, column, strict=True)) for name, column in found.items()}


def _node(group: str) -> str:
    """The node that a group fills; an experiment, or ``debug``, may change everything."""
    return "" if group in ("experiment", "debug") else _path(group)


def _path(key: str) -> str:
    """Where in the config a key or a group lies; ``dae/noise@dae.reference_noise`` is at the second."""
    return key.rpartition("@")[2].replace("/", ".").lstrip("+~")


def is_below(key: str, node: str) -> bool:
    """Whether a key, or a group, lies in a node of the config, or is it."""
    return not node or f"{_path(key)}.".startswith(f"{node}.")


def _common_objective(jobs: Iterable[Job]) -> Metric | None:
    known = [job.objective for job in jobs if job.objective]
    measured = [job.objective for job in jobs if job.objective and job.value is not None]
    return Counter(measured or known).most_common(1)[0][0] if known else None


def _ascending(value: float | None, objective: Metric | None) -> float:
    """A number that is smaller the better the value is; the largest if there is none."""
    if value is None or objective is None:
        return float("inf")
    return value if objective.mode == "min" else -value
