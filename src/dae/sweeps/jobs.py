"""A job of a sweep, as its folder tells, or a row of ``jobs.csv`` that was kept without its folder."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from dae import metrics
from dae.files import DamagedFileError, changed_at, read_yaml
from dae.metrics import Metric
from dae.runs.folder import is_stale
from dae.runs.records import (
    FILE,
    OUTPUT_SUBDIR,
    is_hydras,
    read_hydra,
    read_or_empty,
    read_overrides,
    read_result,
    read_run,
    read_tested,
)
from dae.schema import leaves

# Tables that hold no rows of jobs.
NO_JOBS = ("leaderboard.csv", "comparison.csv")


@dataclass(frozen=True)
class Job:
    """What the folder of a job says.

    Attributes:
        overrides: As they were typed for this job alone, without Hydra's own; they can be typed again.
        config: The text of each key of its config; one that follows another key is written ``${key}``. None
            before it has begun.
        choices: What was chosen of each group.
        values: By the columns of the table that it is a row of.
        status: That of ``result.json``; without one ``running``, or ``interrupted`` if its process is gone;
            ``broken`` if it cannot be read.
        objective: The metric that it is judged by; None if it ended before that was known.
        checkpoint: The file that the objective belongs to, relative to the folder; None if there is none.
        seconds: Wall time of the whole job.
        signs: That little was learned, as ``dae/few_steps``.
        error: What went wrong, on one line; empty if nothing did.
        labels: How many stage 2 has had of each class, on average; None if that is not known.
        classes: How many there are.
        images: Of the test set that the objective's stage was measured on; None if that is not known.
        machine: That it has run on, with the versions of torch and of the code.
    """

    folder: Path
    overrides: tuple[str, ...] = ()
    config: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    status: str = "running"
    objective: Metric | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    checkpoint: str | None = None
    seconds: float | None = None
    signs: tuple[str, ...] = ()
    error: str = ""
    labels: float | None = None
    classes: int = 0
    images: int | None = None
    machine: str = ""

    @property
    def seed(self) -> str:
        """The run's seed."""
        return self.config.get("seed", "")

    @property
    def value(self) -> float | None:
        """The objective of the checkpoint that counts; None if there is none, or if it is not a number."""
        return self.metrics.get(self.objective.name) if self.objective else None

    @property
    def failed(self) -> bool:
        """Whether it has ended, not interrupted, without the figure that it was to be judged by."""
        without = self.status == "completed" and self.objective is not None and self.value is None
        return without or self.status in ("failed", "broken")


def read_jobs(sweep_folder: Path) -> list[Job]:
    """All jobs that have begun, ordered by the names of their folders; other folders are skipped.

    Where there is none, the rows of all tables that were kept there: each a ``jobs.csv``, by any name.

    Raises:
        DamagedFileError: One of these is no ``jobs.csv``, or they have two rows for one config and seed.
    """
    folders = sorted(place for place in sweep_folder.glob("*") if place.is_dir())
    jobs = [job for job in map(read_job, folders) if job is not None]
    if jobs:
        return jobs
    tables = sorted(file for file in sweep_folder.glob("*.csv") if file.name not in NO_JOBS)
    kept = [(file, job) for file in tables for job in _read_kept(file)]
    known: dict[tuple[tuple[str, str], ...], Job] = {}
    for file, job in kept:
        if known.setdefault(tuple(sorted(job.config.items())), job) is not job:
            raise DamagedFileError(file, f"{job.folder.name} is there twice, or lacks the key that parts it")
    return [job for _, job in kept]


def _read_kept(file: Path) -> Iterator[Job]:
    """The jobs of a ``jobs.csv``; see ``leaderboard.job_columns``."""
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                names = [*row]
                keys = names[1 : names.index("seed") + 1]
                measured = names[names.index("value") + 1 : names.index("seconds")]
                judged = row["objective"] and metrics.objective(
                    row["objective"], list(metrics.STAGES), True, metrics.OF_CALLBACKS
                )
                yield Job(
                    folder=file.parent / row["folder"],
                    config={key: row[key] for key in keys},
                    status=row["status"],
                    objective=judged or None,
                    metrics={
                        name: value for name in measured if _is_number(value := float(row[name] or "nan"))
                    },
                    seconds=float(row["seconds"]) if row["seconds"] else None,
                    signs=tuple(row["signs"].split()),
                    error=row["error"],
                    labels=float(row["labels_per_class"]) if row["labels_per_class"] else None,
                    classes=int(row["classes"]),
                    images=int(row["test_images"]) if row["test_images"] else None,
                    machine=row["machine"],
                )
    except (KeyError, ValueError, AttributeError, TypeError, csv.Error) as error:
        raise DamagedFileError(file, f"it is no jobs.csv of this version: {error}") from error


def read_job(folder: Path) -> Job | None:
    """The job, or the run of its own, that has begun in a folder; None if none has."""
    if not (folder / OUTPUT_SUBDIR / "overrides.yaml").is_file():
        return None
    job = Job(folder)
    try:
        # Hydra does not write its files at once: until a job has begun by itself, nothing is known of it.
        if (folder / FILE).exists() or (folder / "result.json").exists():
            job = Job(folder, read_overrides(folder), *_identity(folder))
        return replace(job, **_outcome(folder))
    except DamagedFileError as error:
        return replace(job, status="broken", error=str(error))


def text_of(value: Any) -> str:
    """A value of a config as it is typed: ``null``, ``0.1``, ``[32,16,16]``, ``10/class``."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _identity(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    composed, own = folder / OUTPUT_SUBDIR / "config.yaml", folder / FILE
    return _read_identity(folder, changed_at(composed), changed_at(own))


@lru_cache(maxsize=4096)  # a table is read anew after each job
def _read_identity(folder: Path, *_: int) -> tuple[dict[str, str], dict[str, str]]:
    composed = dict(leaves(read_yaml(folder / OUTPUT_SUBDIR / "config.yaml")))
    own = read_yaml(folder / FILE)  # a refused job has none
    resolved = dict(leaves(own)) if own else composed
    follows = {key: text for key, text in composed.items() if str(text).startswith("${")}
    config = {key: text_of(value) for key, value in {**resolved, **follows}.items() if key}
    runtime = read_hydra(folder / OUTPUT_SUBDIR / "hydra.yaml").get("runtime") or {}
    choices = {key: text_of(choice) for key, choice in runtime.get("choices", {}).items()}
    return config, {key: choice for key, choice in choices.items() if not is_hydras(key)}


def _outcome(folder: Path) -> dict[str, Any]:
    """The fields of ``Job`` that ``result.json`` fills."""
    if ended := changed_at(folder / "result.json"):
        return _read_outcome(folder, ended)
    gone = {"status": "interrupted", "error": "its process has ended without a result"}
    return gone if is_stale(folder) else {}


@lru_cache(maxsize=4096)
def _read_outcome(folder: Path, _: int) -> dict[str, Any]:
    result = read_result(folder)
    name, mode = result["objective"]["name"], result["objective"]["mode"]
    measured = {key: number for key, number in result["metrics"].items() if _is_number(number)}
    error = error_line(result["error"] or "")
    if result["status"] == "completed" and name and name not in measured:
        error = f"completed, but {name} is not a number"
    checkpoints = result["checkpoints"]
    run, stage = read_or_empty(read_run, folder), str(name).partition("/")[0]
    classes = len(run.get("classes", ()))
    return {
        "status": result["status"],
        "objective": Metric(name, mode) if name else None,
        "metrics": measured,
        "checkpoint": checkpoints.get(stage, next(reversed(checkpoints.values()), None)),
        "seconds": result["seconds"].get("total"),
        "signs": tuple(f"{sign['stage']}/{sign['name']}" for sign in result["signs"]),
        "error": error,
        "labels": run["labels"] / classes if classes else None,
        "classes": classes,
        "images": read_or_empty(read_tested, folder / stage).get("images"),
        "machine": _machine(run),
    }


def _machine(run: dict[str, Any]) -> str:
    if not run:
        return ""
    git = run["git"] or {}
    code = [f"commit {git['commit']:.10}{' and changes' if git['diff'] else ''}"] if git else []
    return ", ".join([run["device"], f"torch {run['versions'].get('torch')}", *code])


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def error_line(error: str) -> str:
    """The first line of an error, and the next one if the first only announces it."""
    lines = [line.strip().removeprefix("- ") for line in error.splitlines() if line.strip()]
    return " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])


def launch_time(sweep_folder: Path) -> int:
    """When the last command of a sweep was launched: its sweeper writes this file first of all."""
    return changed_at(sweep_folder / "multirun.yaml")


def start_time(job_folder: Path) -> int:
    """When a job was started for the last time; Hydra writes this file each time."""
    return changed_at(job_folder / OUTPUT_SUBDIR / "overrides.yaml")


def launched_jobs(sweep_folder: Path, jobs: Sequence[Job]) -> list[Job]:
    """The jobs that the last command of a sweep has started; it may continue an earlier one."""
    begun = launch_time(sweep_folder)
    return [job for job in jobs if start_time(job.folder) >= begun]
