"""The small files of a run folder: what each of them holds, and how it is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from dae.files import DamagedFileError, read_json, read_yaml, write_json

FORMAT: Literal[4] = 4  # of run folders: only a version of the same format continues a run
FILE = "config.yaml"  # the resolved config
OUTPUT_SUBDIR = ".hydra"  # what Hydra writes: by it a folder is known to be a run's
# Of the config: what lies elsewhere on another machine.
PATH_KEYS = ("data.root", "data.unlabelled", "classifier.encoder_checkpoint", "dae.warm_start")
# Nothing is left to do in a run that ended so.
ENDED = ("completed", "pruned")
WORDS = {
    "mean_image": "the reconstruction is no better than the mean training image",
    "worse_than_input": "the reconstruction is worse than the noisy input",
    "one_class": "one class is said for nearly all images",
    "majority_class": "it is no better than always to say the most frequent class",
    "few_steps": "few optimizer steps",
    "still_improving": "it was still improving at the end",
}


class Record(BaseModel):
    """What a small file holds."""

    model_config = ConfigDict(strict=True)


class Sign(Record):
    """A warning that a stage has learned little.

    Attributes:
        stage: ``dae`` or ``classifier``.
        name: Of ``WORDS``.
        text: What is wrong, its figure and limit, what most likely helps.
        value: The figure.
        limit: What the figure is held against.
    """

    stage: str
    name: str
    text: str
    value: float | None
    limit: float | None


def sign_words(sign: str) -> str:
    """``dae/few_steps`` in words: ``dae: few optimizer steps``."""
    stage, name = sign.split("/")
    return f"{stage}: {WORDS.get(name, name)}"


class Objective(Record):
    """What a run was judged by; all None if it ended before that was known."""

    name: str | None
    mode: Literal["min", "max"] | None
    value: float | None


class Result(Record):
    """``result.json``: how a run has ended. Its keys are a promise."""

    status: Literal["completed", "failed", "interrupted", "pruned"]
    objective: Objective
    metrics: dict[str, float | None]
    checkpoints: dict[str, str]
    shared_from: str | None = None
    seconds: dict[str, float]
    signs: list[Sign] = []
    error: str | None


class Stage(Record):
    """``stage.json``: the result of a stage that is through, which a run that goes on takes as it is."""

    metrics: dict[str, float | None]
    seconds: float
    epochs: int
    shared_from: str | None = None
    signs: list[Sign] = []


class RunInfo(Record):
    """``run.json``: all that the config does not say and a repetition needs."""

    format: Literal[4]
    command: str
    started: str
    git: dict[str, str | None] | None
    versions: dict[str, str]
    device: str
    threads: int
    platform: str
    data: str
    classes: list[str]
    labels: int
    data_checksum: str
    resumed: list[dict[str, Any]] = []
    shown: list[str] = []


def read_result(folder: Path) -> dict[str, Any]:
    """``result.json`` of a run; empty while it runs.

    Raises:
        DamagedFileError: It holds something else.
    """
    return read_record(folder / "result.json", Result)


def read_stage(folder: Path) -> dict[str, Any]:
    """``stage.json`` in the folder of a stage that has ended; else empty.

    Raises:
        DamagedFileError: It holds something else.
    """
    return read_record(folder / "stage.json", Stage)


def read_run(folder: Path) -> dict[str, Any]:
    """``run.json``; empty if the run has ended before it was written.

    Raises:
        DamagedFileError: It holds something else.
    """
    return read_record(folder / "run.json", RunInfo)


def read_tested(folder: Path) -> dict[str, Any]:
    """``test.json``: the number of test images, and each metric's value for each of them; empty without one.

    Args:
        folder: Of a stage.

    Raises:
        DamagedFileError: It is no JSON.
    """
    return read_json(folder / "test.json")


def read_hydra(file: Path) -> dict[str, Any]:
    """Hydra's own config; empty if there is no such file.

    Args:
        file: Of a sweep ``multirun.yaml``, written before its first job; of a run ``.hydra/hydra.yaml``.

    Raises:
        DamagedFileError: It holds something else.
    """
    hydra = read_yaml(file) or {}
    return hydra.get("hydra") or {} if isinstance(hydra, dict) else {}


def read_overrides(folder: Path) -> tuple[str, ...]:
    """The overrides of the job in a folder alone, without Hydra's own and the sweep's ``compare``.

    Raises:
        DamagedFileError: They are damaged.
    """
    texts = map(str, read_yaml(folder / OUTPUT_SUBDIR / "overrides.yaml") or ())
    return tuple(text for text in texts if not is_hydras(text) and text.lstrip("+")[:8] != "compare=")


def is_hydras(override: str) -> bool:
    """Whether an override is about Hydra itself: ``hydra.job.chdir=..``, ``hydra/launcher=..``."""
    return override.lstrip("+~").startswith(("hydra.", "hydra/"))


def read_or_empty(read: Callable[[Path], dict[str, Any]], place: Path) -> dict[str, Any]:
    """What a reader finds; empty also where it is damaged."""
    try:
        return read(place)
    except DamagedFileError:
        return {}


def shared_stage_folder(run_folder: Path, shared_from: str | None, stage: str) -> Path:
    """Where a stage was trained: in the run folder, or in ``stage1/`` of the sweep that it is a job of."""
    return run_folder / (shared_from or "") / stage if stage == "dae" else run_folder / stage


def write_record(path: Path, record: Record) -> None:
    """Write a record as JSON, whole or not at all.

    Raises:
        OSError: The disk is full or write-protected.
    """
    write_json(path, record.model_dump())


def read_record(path: Path, model: type[Record]) -> dict[str, Any]:
    """The content of a record; empty if there is none.

    Raises:
        DamagedFileError: It holds something else.
    """
    content = read_json(path)
    try:
        return model.model_validate(content).model_dump() if content else {}
    except ValidationError as error:
        first = error.errors()[0]
        raise DamagedFileError(path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
