"""The content of a run folder, as its page needs it; any file may be missing."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dae.config.commands import config_flags
from dae.files import read_json
from dae.metrics import METRICS
from dae.report.scalars import Series, read_series
from dae.sweeps.commands import TRAIN, read_hydra_config, rerun_command, without_comparison
from dae.sweeps.jobs import Job, read_job, read_yaml
from dae.words import path_from_here, quoted_override

# Enough lines for a traceback.
LAST_LINES = 40


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run, or of a job of a sweep."""

    folder: Path

    @cached_property
    def result(self) -> dict[str, Any]:
        """``result.json``; empty before the run has ended."""
        try:
            return read_json(self.folder / "result.json")
        except json.JSONDecodeError as error:
            words = f"result.json cannot be read: {error}"
            return {"status": "broken", "error": words}

    @property
    def status(self) -> str:
        """The status in ``result.json``, or ``running``."""
        return str(self.result.get("status", "running"))

    @property
    def metrics(self) -> dict[str, float | None]:
        """The metrics of the checkpoint that counts; during a run, those of the stages that have ended."""
        found = {}
        for stage in METRICS:
            found.update(read_json(self.folder / stage / "stage.json").get("metrics", {}))
        return self.result.get("metrics", {}) or found

    @cached_property
    def run(self) -> dict[str, Any]:
        """``run.json``; empty if the run ended before it was written."""
        return read_json(self.folder / "run.json")

    @property
    def ceiling(self) -> float | None:
        """The highest pixel accuracy that the targets allow; None if that was not noted."""
        return self.run.get("pixel_accuracy_ceiling")

    @cached_property
    def config(self) -> dict[str, Any]:
        """``config.yaml``, or Hydra's composed config if the run ended before that was written."""
        return read_yaml(self.config_file) or {}

    @property
    def config_file(self) -> Path:
        """The file that ``config`` is read from."""
        own = self.folder / "config.yaml"
        return own if own.is_file() else self.folder / ".hydra" / "config.yaml"

    @cached_property
    def hydra(self) -> dict[str, Any]:
        """Hydra's own config of the run."""
        return read_hydra_config(self.folder / ".hydra" / "hydra.yaml")

    @cached_property
    def job(self) -> Job:
        """The run as a job of a sweep."""
        return read_job(self.folder) or Job(self.folder, ())

    @property
    def in_sweep(self) -> bool:
        """Whether it is a job of a sweep."""
        return self.hydra.get("mode") == "MULTIRUN"

    def stage_folder(self, stage: str) -> Path:
        """Where a stage was trained; for stage 1 this may be in the ``stage1/`` of the sweep."""
        shared = self.result.get("shared_from") or read_json(self.folder / stage / "stage.json").get(
            "shared_from"
        )
        elsewhere = self.folder / str(shared) / stage
        return elsewhere if stage == "dae" and shared and elsewhere.is_dir() else self.folder / stage

    @cached_property
    def series(self) -> dict[str, Series]:
        """The logged scalars of each stage that has begun."""
        folders = {stage: self.stage_folder(stage) for stage in METRICS}
        return {stage: read_series(folder) for stage, folder in folders.items() if folder.is_dir()}

    def tested(self, stage: str) -> dict[str, Any]:
        """``test.json``: the number of test images, and each metric's value for each of them."""
        return read_json(self.stage_folder(stage) / "test.json")

    @property
    def last_lines(self) -> str:
        """The end of ``train.log``."""
        file = self.folder / "train.log"
        lines = file.read_text(errors="replace").splitlines() if file.is_file() else []
        return "\n".join(line[:500] for line in lines[-LAST_LINES:])

    @property
    def command(self) -> str:
        """The command that runs it again, outside a sweep."""
        if self.in_sweep:
            return rerun_command(self.job, self.hydra)
        return self.run.get("command") or shlex.join([*TRAIN, *config_flags(self.hydra), *self.job.overrides])

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
        return shlex.join([*TRAIN, *config_flags(self.hydra), *flags, *kept, *words, *no_key])

    def resume(self, *words: str) -> str:
        """The command that resumes it."""
        return " ".join([*TRAIN, quoted_override("resume", path_from_here(self.folder)), *words])

    @property
    def advice(self) -> str | None:
        """The first override that the error proposes; None if there is none."""
        found = re.search(r"\btry ([\w./]+=[^\s,;]+)", self.result.get("error") or "")
        return found.group(1) if found else None
