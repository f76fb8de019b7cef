"""The content of a run folder, as its page needs it; any file may be missing."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from dae.files import DamagedFileError, read_yaml
from dae.metrics import METRICS
from dae.report.scalars import Series, read_scalars, scalar_files, series_of
from dae.runs.folder import is_stale
from dae.runs.records import (
    read_hydra,
    read_result,
    read_run,
    read_stage,
    read_tested,
    shared_stage_folder,
)
from dae.runs.resume import resume_command
from dae.sweeps.commands import config_flags, rerun_command, without_comparison
from dae.sweeps.jobs import Job, read_overrides
from dae.text import train_command

PNG = b"\x89PNG"
# Enough lines for a traceback.
LAST_LINES = 40


Content = TypeVar("Content")


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run, or of a job of a sweep.

    Attributes:
        folder: The folder; nothing outside of it is read, but the stage 1 that jobs of its sweep share.
        damaged: What is wrong with each file that was asked for and could not be read.
    """

    folder: Path
    damaged: dict[Path, str] = field(default_factory=dict)

    def read(self, file: Path, read: Callable[[], Content]) -> Content | None:
        """What ``read`` finds in ``file``; None, and a note, if that cannot be read."""
        try:
            return read()
        except DamagedFileError as error:
            self.damaged[file] = str(error)
            return None

    @cached_property
    def result(self) -> dict[str, Any]:
        """``result.json``; empty before the run has ended."""
        file = self.folder / "result.json"
        found = self.read(file, lambda: read_result(self.folder))
        return {"status": "broken", "error": self.damaged[file]} if found is None else found

    @property
    def status(self) -> str:
        """The status in ``result.json``, or ``running``, or ``interrupted`` if nobody runs it any more."""
        return str(self.result.get("status") or ("interrupted" if is_stale(self.folder) else "running"))

    @cached_property
    def stages(self) -> dict[str, dict[str, Any]]:
        """``stage.json`` of each stage; empty of one that has not ended."""
        places = {stage: self.folder / stage for stage in METRICS}
        return {
            stage: self.read(place / "stage.json", partial(read_stage, place)) or {}
            for stage, place in places.items()
        }

    @property
    def metrics(self) -> dict[str, float | None]:
        """The metrics of the checkpoint that counts; during a run, those of the stages that have ended."""
        found = {}
        for content in self.stages.values():
            found.update(content.get("metrics", {}))
        return self.result.get("metrics", {}) or found

    @cached_property
    def run(self) -> dict[str, Any]:
        """``run.json``; empty if the run ended before it was written."""
        return self.read(self.folder / "run.json", lambda: read_run(self.folder)) or {}

    @property
    def ceiling(self) -> float | None:
        """The highest pixel accuracy that the targets allow; None if that was not noted."""
        return self.run.get("pixel_accuracy_ceiling")

    @cached_property
    def config(self) -> dict[str, Any]:
        """``config.yaml``, or Hydra's composed config if the run ended before that was written."""
        own = self.folder / "config.yaml"
        file = own if os.path.lexists(own) else self.folder / ".hydra" / "config.yaml"

        return self.read(file, lambda: read_yaml(file)) or {}

    @cached_property
    def hydra(self) -> dict[str, Any]:
        """Hydra's own config of the run."""
        file = self.folder / ".hydra" / "hydra.yaml"
        return self.read(file, lambda: read_hydra(file)) or {}

    @cached_property
    def job(self) -> Job:
        """The run as a job of a sweep, without its result."""
        file = self.folder / ".hydra" / "overrides.yaml"
        found: tuple[str, ...] | None = self.read(file, partial(read_overrides, self.folder))
        return Job(self.folder, found or ())

    @property
    def in_sweep(self) -> bool:
        """Whether it is a job of a sweep."""
        return self.hydra.get("mode") == "MULTIRUN"

    @property
    def shared_from(self) -> str | None:
        """Where stage 1 was trained, as seen from the run folder; None if that was here."""
        return self.result.get("shared_from") or self.stages["dae"].get("shared_from")

    def stage_folder(self, stage: str) -> Path:
        """Where a stage was trained; for stage 1 this may be in the ``stage1/`` of the sweep."""
        elsewhere = shared_stage_folder(self.folder, self.shared_from, stage)
        return elsewhere if elsewhere.is_dir() else self.folder / stage

    @cached_property
    def series(self) -> dict[str, Series]:
        """The logged scalars of each stage that has begun, and whose files can be read."""
        found = {}
        for stage, folder in ((stage, self.stage_folder(stage)) for stage in METRICS):
            files = [(file, partial(read_scalars, file)) for file in scalar_files(folder)]
            parts = [self.read(file, read) or [] for file, read in files]
            if folder.is_dir() and self.damaged.keys().isdisjoint(file for file, _ in files):
                found[stage] = series_of(parts)
        return found

    def tested(self, stage: str) -> dict[str, Any]:
        """``test.json``: the number of test images, and each metric's value for each of them."""
        folder = self.stage_folder(stage)
        return self.read(folder / "test.json", lambda: read_tested(folder)) or {}

    def picture(self, stage: str, name: str) -> bytes | None:
        """A picture of a stage, or of the run (``stage`` is empty); None if there is none."""
        file = self.stage_folder(stage) / name

        def read() -> bytes | None:
            content = file.read_bytes() if file.is_file() else None
            if content is not None and not content.startswith(PNG):
                raise DamagedFileError(file, "it is no PNG")
            return content

        return self.read(file, read)

    @cached_property
    def last_lines(self) -> str:
        """The end of ``train.log``."""
        file = self.folder / "train.log"
        text = self.read(file, lambda: file.read_text("utf-8", errors="replace") if file.is_file() else "")
        return "\n".join(line[:500] for line in (text or "").splitlines()[-LAST_LINES:])

    @property
    def command(self) -> str:
        """The command that runs it again, outside a sweep."""
        if self.in_sweep:
            return rerun_command(self.job, self.hydra)
        return self.run.get("command") or shlex.join(
            [*train_command().split(), *config_flags(self.hydra), *self.job.overrides]
        )

    def variant(self, *words: str, without: tuple[str, ...] = (), sweep: bool = False) -> str:
        """The command of a run that differs from this one.

        Args:
            words: Overrides that replace those for the same keys.
            without: Further keys whose overrides are left out.
            sweep: Whether ``words`` give several values to a key.
        """
        replaced = {*without, *(word.partition("=")[0] for word in words)}
        kept = [text for text in self.job.overrides if text.lstrip("+").partition("=")[0] not in replaced]
        alone = ["hydra.mode=RUN"] if any(text.startswith("experiment=") for text in kept) else []
        flags = ["-m"] if sweep else (alone if self.in_sweep else [])
        compared = any(word.startswith("compare=") for word in words)
        no_key = without_comparison(kept, self.config.get("compare")) if sweep and not compared else []
        return shlex.join(
            [*train_command().split(), *config_flags(self.hydra), *flags, *kept, *words, *no_key]
        )

    def resume(self, *words: str) -> str:
        """The command that resumes it."""
        return " ".join([resume_command(self.folder), *words])

    @property
    def advice(self) -> str | None:
        """The first override that the error proposes; None if there is none."""
        found = re.search(r"\btry ([\w./]+=[^\s,;]+)", self.result.get("error") or "")
        return found.group(1) if found else None
