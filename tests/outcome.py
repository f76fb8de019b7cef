"""The outcome of a command, and where things are; without torch, so that pytest itself starts quickly."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
MNIST = Path(os.environ.get("DAE_MNIST", REPOSITORY.parent / "shared" / "mnist"))
HAS_MNIST = (MNIST / "MNIST" / "raw" / "train-images-idx3-ubyte.gz").is_file()


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    exit_code: int
    out: str
    err: str
    place: Path

    @property
    def text(self) -> str:
        return self.out + self.err

    @property
    def logs(self) -> str:
        """The ``train.log`` of each run, the oldest run first; in a sweep the console shows little of it."""
        return "".join(file.read_text() for file in sorted(self.place.rglob("train.log")))

    @property
    def folders(self) -> list[Path]:
        """Run folders, the oldest first; what the jobs of a sweep share is none."""
        found = [*self.place.glob("outputs/*/"), *self.place.glob("multirun/*/*/")]
        no_run = re.compile(r"\..*|stage1")
        return sorted(folder for folder in found if folder.is_dir() and not no_run.fullmatch(folder.name))

    @property
    def folder(self) -> Path:
        (folder,) = self.folders
        return folder

    @property
    def result(self) -> dict[str, Any]:
        return json.loads((self.folder / "result.json").read_text())


Train = Callable[..., Outcome]

# An epoch of few images: once over them, some steps.
ONE_PASS = ("data.batch_size=16", "data.least_steps=1")
BRIEF = ("data=digits", "data.limit=64", *ONE_PASS, "dae.epochs=1", "classifier.epochs=1")
# All that a run leaves by default.
WHOLE = ("data=digits", "debug=smoke", "dae.noise.p=0.35", "name=mine")
# Two epochs of each stage, with something to see in each chart.
WATCHED = (
    *("data=digits", "data.limit=320", *ONE_PASS, "dae.epochs=2", "classifier.epochs=2"),
    *("dae/scheduler=one_cycle", "trainer.log_every_n_steps=5"),
)
