"""The jobs of a sweep, read from their folders."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dae.files import DamagedFileError, read_yaml
from dae.metrics import Metric
from dae.runs.folder import is_stale
from dae.runs.records import read_result

# What became of a run without a result.
GONE = "its process has ended without a result"


@dataclass(frozen=True)
class Job:
    """What the folder of a job says.

    Attributes:
        overrides: As Hydra wrote them down, those of the job alone; they can be typed again.
        status: That of ``result.json``; before there is one ``running``, or ``interrupted`` if its process is
            gone; ``broken`` if it cannot be read.
        objective: The metric that the job is judged by; None if it ended before that was known.
        value: The objective of the checkpoint that counts; None if there is none, or if it is not a number.
        checkpoint: The file that the value belongs to, relative to the folder; None if there is none.
        seconds: Wall time of the whole job.
        signs: That little was learned, as ``dae/few_steps``; ``runs/signs.py`` has words for them.
        error: What went wrong, on one line; empty if nothing did.
    """

    folder: Path
    overrides: tuple[str, ...]
    status: str = "running"
    objective: Metric | None = None
    value: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    checkpoint: str | None = None
    seconds: float | None = None
    signs: tuple[str, ...] = ()
    error: str = ""

    @property
    def values(self) -> dict[str, str]:
        """The overrides by their keys; of two for the same key the later counts."""
        pairs = (override.lstrip("+").partition("=") for override in self.overrides)
        return {key: value for key, _, value in pairs}

    @property
    def failed(self) -> bool:
        """Whether it has ended without the figure that it was judged by and was not interrupted."""
        completed_without = self.status == "completed" and self.objective is not None and self.value is None
        return completed_without or self.status in ("failed", "broken")


def read_jobs(sweep_folder: Path) -> list[Job]:
    """All jobs that have begun, ordered by the names of their folders; other folders are skipped."""
    if not sweep_folder.is_dir():
        return []
    found = map(read_job, sorted(folder for folder in sweep_folder.iterdir() if folder.is_dir()))
    return [job for job in found if job is not None]


def read_job(folder: Path) -> Job | None:
    """A job, or a run of its own, that has begun in ``folder``; None if none has."""
    try:
        overrides = read_overrides(folder)
    except DamagedFileError as error:
        # Hydra writes this file first of all, and not at once: a job that has only just begun is none yet.
        begun = (folder / "run.json").exists() or (folder / "result.json").exists()
        return _broken(Job(folder, ()), str(error)) if begun else None
    return None if overrides is None else _with_result(Job(folder, overrides))


def _broken(job: Job, why: str) -> Job:
    return replace(job, status="broken", error=why)


def launch_time(sweep_folder: Path) -> int:
    """When the last command of a sweep was launched, in ns: its sweeper writes this file first of all."""
    return modified_time(sweep_folder / "multirun.yaml")


def start_time(job_folder: Path) -> int:
    """When a job was started for the last time, in ns; Hydra writes this file each time."""
    return modified_time(job_folder / ".hydra" / "overrides.yaml")


def modified_time(file: Path) -> int:
    """When a file was changed, in ns; 0 if it is not there."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def read_overrides(folder: Path) -> tuple[str, ...] | None:
    """The overrides of the job in ``folder`` alone; None if no job has begun.

    Without those of Hydra itself, and without ``compare``, which is the whole sweep's.

    Raises:
        DamagedFileError: They are damaged.
    """
    file = folder / ".hydra" / "overrides.yaml"
    if not file.is_file():
        return None
    texts = (str(text) for text in read_yaml(file))
    return tuple(
        text for text in texts if not is_hydras(text) and not text.lstrip("+").startswith("compare=")
    )


def is_hydras(override: str) -> bool:
    """Whether an override is about Hydra itself: ``hydra.job.chdir=..``, ``hydra/launcher=..``."""
    return override.lstrip("+~").startswith(("hydra.", "hydra/"))


def _with_result(job: Job) -> Job:
    try:
        result = read_result(job.folder)
    except DamagedFileError as error:
        advice = "delete it and continue the sweep to run this job again"
        return _broken(job, f"result.json cannot be read ({error.why}): {advice}")
    if result:
        return replace(job, **_fields(result))
    return replace(job, status="interrupted", error=GONE) if is_stale(job.folder) else job


def _fields(result: dict[str, Any]) -> dict[str, Any]:
    """The fields of ``Job`` that a ``result.json`` fills."""
    name, mode, value = (result["objective"][key] for key in ("name", "mode", "value"))
    metrics = {key: _number(number) for key, number in result["metrics"].items()}
    checkpoints = result["checkpoints"]
    last = next(reversed(checkpoints.values()), None)
    status, value = str(result["status"]), _number(value)
    error = error_line(result["error"] or "")
    if status == "completed" and name is not None and value is None:
        error = f"completed, but {name} is not a number"
    return {
        "status": status,
        "objective": None if name is None else Metric(name, mode),
        "value": value,
        "metrics": {key: number for key, number in metrics.items() if number is not None},
        # The checkpoint of the stage that measured the objective.
        "checkpoint": checkpoints.get(str(name).partition("/")[0], last),
        "seconds": _number(result["seconds"].get("total")),
        "signs": tuple(f"{sign['stage']}/{sign['name']}" for sign in result.get("signs", ())),
        "error": error,
    }


def _number(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def error_line(error: str) -> str:
    """The first line of an error, and the next one if the first only announces it."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    announced = lines[:1] if not lines or not lines[0].endswith(":") else lines[:2]
    return " ".join(line.removeprefix("- ") for line in announced)
