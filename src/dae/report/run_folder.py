"""What a run folder says, for its page: nothing in it has to be there."""

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
from dae.sweeps.commands import TRAIN, read_hydra_config, rerun_command
from dae.sweeps.jobs import Job, read_job, read_yaml
from dae.words import path_from_here, quoted_override

# Enough for a traceback.
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
        """How it has ended, or ``running``."""
        return str(self.result.get("status", "running"))

    @property
    def metrics(self) -> dict[str, float | None]:
        """Of the checkpoint that counts; those of the stages that are through while the run goes on."""
        found = {}
        for stage in METRICS:
            found.update(read_json(self.folder / stage / "stage.json").get("metrics", {}))
        return self.result.get("metrics", {}) or found

    @cached_property
    def run(self) -> dict[str, Any]:
        """``run.json``; empty if the run did not come so far."""
        return read_json(self.folder / "run.json")

    @cached_property
    def config(self) -> dict[str, Any]:
        """``config.yaml``, or what Hydra composed if the run did not come so far."""
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
        """The run as a sweep sees it."""
        return read_job(self.folder) or Job(self.folder, ())

    @property
    def in_sweep(self) -> bool:
        """Whether it is a job of a sweep."""
        return self.hydra.get("mode") == "MULTIRUN"

    def stage_folder(self, stage: str) -> Path:
        """Where a stage was trained: for stage 1 perhaps in the ``stage1/`` of its sweep."""
        shared = self.result.get("shared_from") or read_json(self.folder / stage / "stage.json").get(
            "shared_from"
        )
        elsewhere = self.folder / str(shared) / stage
        return elsewhere if stage == "dae" and shared and elsewhere.is_dir() else self.folder / stage

    @cached_property
    def series(self) -> dict[str, Series]:
        """What each stage that has begun has logged."""
        folders = {stage: self.stage_folder(stage) for stage in METRICS}
        return {stage: read_series(folder) for stage, folder in folders.items() if folder.is_dir()}

    def tested(self, stage: str) -> dict[str, Any]:
        """``test.json``: of how many images the test figures are, and the PSNR of each."""
        return read_json(self.stage_folder(stage) / "test.json")

    @property
    def last_lines(self) -> str:
        """The end of ``train.log``."""
        file = self.folder / "train.log"
        lines = file.read_text(errors="replace").splitlines() if file.is_file() else []
        return "\n".join(line[:500] for line in lines[-LAST_LINES:])

    @property
    def command(self) -> str:
        """What runs it again, alone."""
        if self.in_sweep:
            return rerun_command(self.job, self.hydra)
        return self.run.get("command") or shlex.join([*TRAIN, *config_flags(self.hydra), *self.job.overrides])

    def variant(self, *words: str, without: tuple[str, ...] = (), sweep: bool = False) -> str:
        """The command of a run that differs from this one.

        Args:
            words: Overrides that come instead of those for the same keys.
            without: Keys whose overrides are left out, too.
            sweep: Whether ``words`` hold several values.
        """
        replaced = {*without, *(word.partition("=")[0] for word in words)}
        kept = [text for text in self.job.overrides if text.lstrip("+").partition("=")[0] not in replaced]
        alone = ["hydra.mode=RUN"] if any(text.startswith("experiment=") for text in kept) else []
        flags = ["-m"] if sweep else (alone if self.in_sweep else [])
        return shlex.join([*TRAIN, *config_flags(self.hydra), *flags, *kept, *words])

    def resume(self, *words: str) -> str:
        """The command that goes on with it."""
        return " ".join([*TRAIN, quoted_override("resume", path_from_here(self.folder)), *words])

    @property
    def advice(self) -> str | None:
        """The first override that its error proposes."""
        found = re.search(r"\btry ([\w./]+=[^\s,;]+)", self.result.get("error") or "")
        return found.group(1) if found else None
