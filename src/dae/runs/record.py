"""``run.json``, what was run; ``stage.json`` and ``result.json``, how it ended; the last console lines."""

from __future__ import annotations

import logging
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from dae.data.images import ImageDataModule
from dae.errors import ConfigError, UserError
from dae.files import write_json
from dae.metrics import NOISY_BELOW_CLEAN, PSNR_BY_NOISE, Metric
from dae.runs.checkpoint import read
from dae.runs.process import NAMES, Terminated
from dae.runs.records import (
    FORMAT,
    Objective,
    Result,
    RunInfo,
    Sign,
    Stage,
    read_or_empty,
    read_result,
    read_run,
    read_stage,
    write_record,
)
from dae.text import path_from_here, pluralize, quoted_override, quoted_path, train_command

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageResult:
    """How a stage has ended.

    Attributes:
        metrics: Of the checkpoint that counts, validation and test.
        checkpoint: Its file.
        seconds: What the stage took, in all processes that had a part in it.
        epochs: How many were asked for.
        reused: Whether it had ended before, in this folder, and was not trained now.
        pruned: Whether a search has given it up: then there is no test.
        shared_from: Where it was trained, as seen from the run folder; None if that was here.
        signs: That little was learned; none where all is well.
    """

    metrics: dict[str, float]
    checkpoint: Path
    seconds: float
    epochs: int
    reused: bool = False
    pruned: bool = False
    shared_from: str | None = None
    signs: tuple[Sign, ...] = ()

    def save(self) -> None:
        """Write ``stage.json``, by which a run that goes on knows that this stage is through."""
        names = ("metrics", "seconds", "epochs", "shared_from")
        record = Stage(**{name: getattr(self, name) for name in names}, signs=list(self.signs))
        write_record(self.checkpoint.with_name("stage.json"), record)


def finished_stage(folder: Path, epochs: int) -> StageResult | None:
    """The result of a stage that is through after so many epochs; None if there is something to do.

    Raises:
        DamagedFileError: ``stage.json`` is damaged.
        CheckpointError: Its checkpoint cannot be used any more.
    """
    content = read_stage(folder)
    if content.get("epochs") != epochs:
        return None
    log.info("%s is done already", folder.name)
    signs = tuple(Sign(**sign) for sign in content.pop("signs"))
    return StageResult(**content, checkpoint=read(folder / "best.ckpt").path, reused=True, signs=signs)


def discard_stage(folder: Path) -> None:
    """Delete the result of a stage, since what it began from has changed."""
    for name in ("stage.json", "last.ckpt", "best.ckpt"):
        (folder / name).unlink(missing_ok=True)


PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core", "omegaconf", "numpy")
LONGEST_DIFF = 100_000  # characters; of a longer one the length is noted


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
        # Of an earlier turn: until this one ends, the run is running.
        self.earlier = read_or_empty(read_result, self.folder)
        (self.folder / "result.json").unlink(missing_ok=True)
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
        """Write ``result.json``."""
        if isinstance(error, ConfigError) and self.earlier.get("status", "failed") != "failed":
            write_json(self.folder / "result.json", self.earlier)  # what was refused has changed nothing
            return
        status = "pruned" if self.pruned else "completed"
        if error is not None:
            status = "failed" if isinstance(error, Exception) else "interrupted"
        judged = self.objective
        value = self.metrics.get(judged.name) if judged else None
        seconds = {**self.seconds, "total": time.perf_counter() - self.started}
        result = Result(
            status=status,  # type: ignore[arg-type]
            objective=Objective(
                name=judged.name if judged else None, mode=judged.mode if judged else None, value=value
            ),
            metrics=dict(self.metrics),
            checkpoints=self.checkpoints,
            shared_from=self.shared_from,
            seconds={name: round(time_, 3) for name, time_ in seconds.items()},
            signs=self.signs,
            error=None if error is None else _text(error),
        )
        write_record(self.folder / "result.json", result)

    def summary(self, words: Sequence[str], has_encoder: bool) -> str:
        """What a run says at its end, on the console and in the log.

        Args:
            words: What a command that trains a classifier on this run's encoder needs besides.
            has_encoder: Whether there is one.
        """
        assert self.objective is not None
        width = max(map(len, self.metrics))
        lines = ["Result of the checkpoint that counts"]
        for name in self.metrics:
            mark = "  <- objective" if name == self.objective.name else ""
            lines.append(f"  {name:<{width}}  {self.metrics[name]:.4f}{mark}")
        if self.metrics.get("dae/val/noisy_loss", math.inf) < self.metrics.get("dae/val/loss", -math.inf):
            lines.append(f"  {NOISY_BELOW_CLEAN}")
        if any(name.startswith("dae/test/psnr_") for name in self.metrics):
            lines.append(f"  {PSNR_BY_NOISE}")
        if self.signs:
            lines.append(
                f"  Completed, but with {pluralize(len(self.signs), 'sign')} that little was learned:"
            )
            lines += [f"    {sign.stage}: {sign.text}" for sign in self.signs]
        folder, times = path_from_here(self.folder), self.seconds.items()
        lines.append(f"  took         {', '.join(f'{stage} {seconds:.1f} s' for stage, seconds in times)}")
        lines.append(f"  run folder   {folder}  ({', '.join(self.checkpoints.values())})")
        runs = quoted_path(self.folder.parent)
        lines.append(f"  look inside  {folder}/report.html; tensorboard --logdir {runs}")
        if has_encoder:
            place = quoted_override("classifier.encoder_checkpoint", folder)
            command = " ".join([train_command(), "stage=classifier", "classifier=linear", place, *words])
            lines.append(f"  go on        {command}")
        return "\n".join(lines)


def _text(error: BaseException) -> str:
    if isinstance(error, UserError | Terminated):
        return str(error)
    if isinstance(error, KeyboardInterrupt | SystemExit):  # Lightning turns Ctrl-C into an exit of its own
        return f"interrupted by {next(iter(NAMES.values()))}"
    return f"{type(error).__name__}: {error}"


def write_run_json(folder: Path, command: str, data: ImageDataModule) -> None:
    """Write ``run.json``.

    A run that goes on keeps what was written at its beginning and adds to ``resumed``.

    Raises:
        UserError: It goes on with other data.
    """
    now: dict[str, Any] = {
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
        "labels": len(data.train_labelled.labels),
        "data_checksum": data.checksum(),
    }
    begun = read_run(folder)
    if not begun:
        write_record(folder / "run.json", RunInfo(**now))
        return
    before, found = begun["data_checksum"], now["data_checksum"]
    if before != found:
        raise UserError(
            f"{path_from_here(folder)} was begun on other data: SHA-256 {before:.12}, now {found:.12}. Bring "
            "those images back, or begin a run without resume"
        )
    write_json(folder / "run.json", {**begun, "resumed": [*begun["resumed"], now]})


@cache
def versions() -> dict[str, str]:
    """The versions of Python and of the packages that results depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


@cache
def git_state() -> dict[str, str | None] | None:
    """Commit and uncommitted changes of the checkout this code lies in; None outside of one.

    Looked at once a process, whose code is the one that it has begun with.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        said = subprocess.run(command, check=True, capture_output=True).stdout
        return said.decode("utf-8", errors="replace")

    try:
        # A checkout of something else may hold the environment that this package is installed in.
        git("ls-files", "--error-unmatch", Path(__file__).name)
        commit, diff = git("rev-parse", "HEAD").strip(), git("diff", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return None
    noted = diff if len(diff) <= LONGEST_DIFF else f"{len(diff):,} characters, too long to be kept"
    return {"commit": commit, "diff": noted or None}


def device_name() -> str:
    """The name of the accelerator, or of the processor."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    cores = pluralize(os.cpu_count() or 1, "core")
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        if names:
            return f"{names[0]} ({cores})"
    return f"{platform.processor() or platform.machine()} ({cores})"
