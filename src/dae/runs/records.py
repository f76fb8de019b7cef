"""The small files of a run folder, and what each of them holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dae.files import (
    NOT_AS_WRITTEN,
    DamagedFileError,
    json_text,
    leads_out,
    read_json,
    read_text,
    read_yaml,
    text_digest,
    write_text_atomically,
)
from dae.metrics import STAGES
from dae.shapes import Whole, misfit
from dae.words import path_from_here

_TEXT, _NUMBER = (str, None), (float, None)
_SIGN = Whole(stage=str, name=str, text=str, value=_NUMBER, limit=_NUMBER)
_RESULT = {
    "status": str,
    "objective": Whole(name=_TEXT, mode=_TEXT, value=_NUMBER),
    "metrics": {str: _NUMBER},
    "checkpoints": {str: str},
    "seconds": {str: float},
    "error": _TEXT,
}
RESULT = [Whole(_RESULT), {"shared_from": _TEXT, "signs": [_SIGN]}]
STAGE = [
    Whole(metrics={str: _NUMBER}, seconds=float, epochs=int),
    {"shared_from": _TEXT, "signs": [_SIGN]},
]
RUN = {
    "format": int,
    "command": str,
    "started": str,
    "git": ({"commit": _TEXT, "diff": _TEXT}, None),
    "versions": {str: str},
    "device": str,
    "threads": int,
    "platform": str,
    "data": str,
    "classes": [str],
    "absent_classes": {str: [str]},
    "labels": int,
    "pixel_accuracy_ceiling": _NUMBER,
    "data_checksum": str,
    "resumed": [Whole(command=str)],
    "shown": [str],
}
TESTED = {"images": int, "balanced_accuracy": Whole(right=[float], images=[float])}
_LISTS = {"hydra": [str], "task": [str]}
HYDRA: dict[str, Any] = {
    "hydra": {
        "mode": _TEXT,
        "overrides": _LISTS,
        "runtime": {
            "cwd": str,
            "choices": {str: (str, [str], None)},
            "config_sources": [{"path": str, "provider": str}],
        },
        "job": {"config_name": str},
        "callbacks": {"sweep_folder": {"swept": [str]}},
        "sweeper": ({}, None),
    }
}
# Each of a status that a run can end with.
STATUSES = ("completed", "failed", "interrupted", "pruned")
RESULT_DIGEST = ".result.sha256"


def write_result(folder: Path, content: dict[str, Any]) -> None:
    """Write ``result.json``, whose keys are a promise, and its digest beside it; none if nothing has begun.

    Raises:
        OSError: The disk is full or write-protected.
    """
    text = json_text(content)
    if (folder / "run.json").is_file():
        write_text_atomically(folder / RESULT_DIGEST, text_digest(text))
    write_text_atomically(folder / "result.json", text)


def discard_result(folder: Path) -> None:
    """Delete ``result.json``: until a run ends again, it is running."""
    (folder / "result.json").unlink(missing_ok=True)
    (folder / RESULT_DIGEST).unlink(missing_ok=True)


def read_result(folder: Path) -> dict[str, Any]:
    """``result.json`` of a run; empty while it runs.

    Raises:
        DamagedFileError: It is damaged.
    """
    file = folder / "result.json"
    text, digest = read_text(file), read_text(folder / RESULT_DIGEST)
    if text is not None and digest not in (None, text_digest(text)):
        raise DamagedFileError(file, f"{NOT_AS_WRITTEN} {RESULT_DIGEST}")
    found = _checked(file, read_json(file), *RESULT)
    if found and found["status"] not in STATUSES:
        raise DamagedFileError(file, f"status is {found['status']!r}, expected {', '.join(STATUSES)}")
    objective = found.get("objective", {})
    if objective.get("name") is not None and objective["mode"] not in ("min", "max"):
        raise DamagedFileError(file, f"objective.mode is {objective['mode']!r}, expected min or max")
    return found


def read_stage(folder: Path) -> dict[str, Any]:
    """``stage.json`` of a stage that has ended; else empty.

    Args:
        folder: The stage's.

    Raises:
        DamagedFileError: It is damaged.
    """
    file = folder / "stage.json"
    return _checked(file, read_json(file), *STAGE)


def read_run(folder: Path, changed: bool = False) -> dict[str, Any]:
    """``run.json``; empty if the run has ended before it was written.

    Args:
        folder: The run's.
        changed: Take one that was changed all the same, and warn of it.

    Raises:
        DamagedFileError: It is damaged.
    """
    file = folder / "run.json"
    return _checked(file, read_json(file, changed), RUN)


def read_tested(folder: Path) -> dict[str, Any]:
    """``test.json``: the number of test images, and each metric's value for each of them; empty without one.

    Args:
        folder: Of a stage.

    Raises:
        DamagedFileError: It is damaged.
    """
    file = folder / "test.json"
    found = read_json(file)
    _checked(file, found, {key: TESTED.get(key, [_NUMBER]) for key in found})
    each = found.get("balanced_accuracy", {"right": [0], "images": [1]})
    right, images = each["right"], each["images"]
    possible = len(right) == len(images) and all(
        0 <= one <= all_ for one, all_ in zip(right, images, strict=True)
    )
    if not possible or not any(images):
        raise DamagedFileError(file, "balanced_accuracy does not say how many of how many images are right")
    return found


def read_hydra(file: Path) -> dict[str, Any]:
    """Hydra's own config; empty if there is no such file.

    Args:
        file: Of a sweep ``multirun.yaml``, written before its first job; of a run ``.hydra/hydra.yaml``.

    Raises:
        DamagedFileError: It is damaged.
    """
    found = read_yaml(file)
    hydra: dict[str, Any] = {} if found is None else _checked(file, found, HYDRA).get("hydra", {})
    return hydra


def read_or_empty(read: Callable[[Path], dict[str, Any]], place: Path) -> dict[str, Any]:
    """What a reader finds; empty also where it is damaged, which the reader of ``damaged_files`` is told."""
    try:
        return read(place)
    except DamagedFileError:
        return {}


def damaged_files(folder: Path) -> tuple[str, ...]:
    """What is wrong with the small files of a run; ``result.json`` is its reader's, who has to say more."""
    readers = [(read_run, folder), *((read_stage, folder / stage) for stage in STAGES)]
    found = []
    for read, place in readers:
        try:
            read(place)
        except DamagedFileError as error:
            found.append(str(error))
    return tuple(found)


def shared_stage_folder(run_folder: Path, shared_from: str | None, stage: str) -> Path:
    """Where a stage was trained: in the run folder, or in ``stage1/`` of the sweep that the run is a job of.

    Args:
        run_folder: The run's.
        shared_from: As ``result.json`` and ``stage.json`` say; another place than ``stage1/`` is passed over.
        stage: ``dae`` or ``classifier``.
    """
    if stage != "dae" or not shared_from:
        return run_folder / stage
    elsewhere = run_folder / shared_from / stage
    return run_folder / stage if leads_out(elsewhere, run_folder.parent / "stage1") else elsewhere


def refuse_link(path: Path, *folders: Path) -> None:
    """Make sure that a file lies where it seems to lie: what a link leads to belongs to somebody else.

    Args:
        path: The file.
        folders: Any of them may hold it.

    Raises:
        DamagedFileError: It leads out of them.
    """
    if leads_out(path, *folders):
        what = f"it leads out of {path_from_here(folders[0])}, to {path.resolve()}"
        raise DamagedFileError(path, what, "Put the file itself there.")


def _checked(file: Path, content: Any, *shapes: Any) -> Any:
    for shape in shapes if content else ():
        if why := misfit(content, shape):
            raise DamagedFileError(file, why)
    metrics = content.get("metrics") if isinstance(content, dict) else None
    for name, value in metrics.items() if isinstance(metrics, dict) else ():
        if name.count("/") != 2:
            raise DamagedFileError(file, f"metrics has {name!r}, expected stage/split/metric")
        if name.endswith("accuracy") and value is not None and not 0 <= value <= 1:
            raise DamagedFileError(file, f"{name} is {value}, expected a share")
    return content
