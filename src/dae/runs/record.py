"""``run.json``, what was run; ``result.json``, how it ended."""

from __future__ import annotations

import logging
import os
import platform
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from dae.data.images import ImageDataModule
from dae.errors import TimeUp, UserError
from dae.files import write_json
from dae.metrics import Metric
from dae.runs.disk import disk_error, first_error
from dae.runs.format import FORMAT
from dae.runs.interruption import NAMES, Terminated, held_back, lost_signal
from dae.runs.records import discard_result, read_run, write_result
from dae.runs.signs import Sign
from dae.runs.stage_result import StageResult
from dae.words import counted, path_from_here

log = logging.getLogger(__name__)

# Room that is kept for the result on a disk that fills up, and the bytes of it.
RESERVE, ROOM = ".reserve", 1 << 16
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core", "omegaconf", "numpy")


class RunRecord:
    """A context that writes ``result.json`` at the end of a run, however it ends.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objective: Metric | None = None
        self.metrics: dict[str, float] = {}
        self.checkpoints: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self.shared_from: str | None = None
        self.signs: list[Sign] = []
        self.pruned = False

    def __enter__(self) -> RunRecord:
        self.started = time.perf_counter()
        try:
            # Not zeros, which a disk may keep without taking room for them.
            (self.folder / RESERVE).unlink(missing_ok=True)  # a link would lead elsewhere
            (self.folder / RESERVE).write_bytes(os.urandom(ROOM))
            # Of an earlier, unfinished turn: until this one ends, the run is running.
            discard_result(self.folder)
        except OSError as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def add_stage(self, stage: str, result: StageResult) -> None:
        """Add the result of a stage that has ended."""
        self.metrics.update(result.metrics)
        self.checkpoints[stage] = result.checkpoint.relative_to(self.folder).as_posix()
        self.seconds[stage] = result.seconds
        self.pruned |= result.pruned
        self.signs += result.signs
        self.shared_from = result.shared_from or self.shared_from

    @property
    def value(self) -> float:
        """The objective of the checkpoint that counts, once the run is through."""
        assert self.objective is not None
        return self.metrics[self.objective.name]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write ``result.json``.

        Raises:
            DiskError: In words, what ended the run, or kept the result of a completed one from being written.
        """
        lost = lost_signal() if isinstance(error, Exception) else None
        first = lost or first_error(error)
        told = disk_error(first, self.folder)
        with held_back():
            try:
                (self.folder / RESERVE).unlink(missing_ok=True)
                write_result(self.folder, self._result(told or first))
            except OSError as second:
                unwritten = disk_error(second, self.folder)
                if error is None:
                    raise unwritten or second from second
                # What came first is to be told.
                log.warning("How the run has ended could not be written: %s", unwritten or second)
        if told:
            raise told from first
        if first is not None and first is not error:
            raise first

    def _result(self, error: BaseException | None) -> dict[str, Any]:
        status = "pruned" if self.pruned else "completed"
        if error is not None:
            status = "failed" if isinstance(error, Exception) else "interrupted"
        objective: dict[str, Any] = {"name": None, "mode": None, "value": None}
        if self.objective is not None:
            value = self.metrics.get(self.objective.name)
            objective = {"name": self.objective.name, "mode": self.objective.mode, "value": value}
        total = time.perf_counter() - self.started
        return {
            "status": status,
            "objective": objective,
            "metrics": self.metrics,
            "checkpoints": self.checkpoints,
            "shared_from": self.shared_from,
            "seconds": {key: round(value, 3) for key, value in {**self.seconds, "total": total}.items()},
            "signs": [asdict(sign) for sign in self.signs],
            "error": _text(error) if error is not None else None,
        }


def _text(error: BaseException) -> str:
    if isinstance(error, UserError | TimeUp | Terminated):
        return str(error)
    if isinstance(error, KeyboardInterrupt | SystemExit):  # Lightning turns Ctrl-C into an exit of its own
        return f"interrupted by {NAMES[signal.SIGINT]}"
    return f"{type(error).__name__}: {error}"


def write_run_json(folder: Path, command: str, data: ImageDataModule) -> None:
    """Write ``run.json``: all that the config does not say and a repetition needs.

    A run that goes on keeps what was written at its beginning and adds to ``resumed``.

    Raises:
        UserError: It goes on with other data.
    """
    data_checksum = data.checksum()
    now = {
        "format": FORMAT,
        "command": command,
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "git": git_state(),
        "versions": versions(),
        "device": device_name(),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "data": str(data),
        "classes": list(data.classes),
        "absent_classes": data.absent(),
        "labels": len(data.train_labelled.labels),
        "pixel_accuracy_ceiling": round(data.pixel_accuracy_ceiling, 6),
        "data_checksum": data_checksum,
    }
    file = folder / "run.json"
    begun = read_run(folder, changed=True)
    if not begun:
        write_json(file, {**now, "resumed": []})
        return
    if begun.get("data_checksum") != data_checksum:
        before = begun.get("data_checksum", "")
        raise UserError(
            f"{path_from_here(folder)} was begun on other data: SHA-256 {before:.12}, now "
            f"{data_checksum:.12}. Bring those images back, or begin a run without resume."
        )
    write_json(file, {**begun, "resumed": [*begun.get("resumed", ()), now]})


@cache
def versions() -> dict[str, str]:
    """The versions of Python and of the packages that results depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


@cache
def git_state() -> dict[str, str | None] | None:
    """Commit and uncommitted changes of the checkout this code lies in; None outside of one.

    Looked at once a process, whose code is the one that it has begun with.
    """
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here), *arguments]
        said = subprocess.run(command, check=True, capture_output=True).stdout
        return said.decode("utf-8", errors="replace")

    try:
        # A checkout of something else may hold the environment that this package is installed in.
        git("ls-files", "--error-unmatch", str(Path(__file__).name))
        return {"commit": git("rev-parse", "HEAD").strip(), "diff": git("diff", "HEAD") or None}
    except (OSError, subprocess.CalledProcessError):
        return None


def device_name() -> str:
    """The name of the accelerator, or of the processor."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    cores = counted(os.cpu_count() or 1, "core")
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        if names:
            return f"{names[0]} ({cores})"
    return f"{platform.processor() or platform.machine()} ({cores})"
