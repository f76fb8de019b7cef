"""What tests are made of: the outcome of a command, a composed config."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from pytorch_lightning import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dae.data.features import FeatureDataModule
from dae.groups import conf_folder
from dae.launch import register_resolvers

REPOSITORY = Path(__file__).parents[1]
MNIST = Path(os.environ.get("DAE_MNIST", REPOSITORY.parent / "shared" / "mnist"))
HAS_MNIST = (MNIST / "MNIST" / "raw" / "train-images-idx3-ubyte.gz").is_file()
# Both stages, in a second.
SMOKE = ("data=digits", "debug=smoke", "logger=none", "callbacks=none")


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


class Gambler(Callback):
    """Draws random numbers where nobody expects it."""

    def on_train_epoch_start(self, *_: Any) -> None:
        torch.rand(7)

    def on_validation_epoch_end(self, *_: Any) -> None:
        torch.rand(7)


def events(folder: Path) -> EventAccumulator:
    """What TensorBoard's own reader finds in a stage's folder, all of it."""
    found = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0, "histograms": 0})
    found.Reload()
    return found


def watch_frozen_blocks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by the number of images, each time that frozen blocks are given some."""
    seen: list[int] = []
    through = FeatureDataModule._features

    def count(self: FeatureDataModule, images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return through(self, images)

    monkeypatch.setattr(FeatureDataModule, "_features", count)
    return seen


Train = Callable[..., Outcome]


def composed(*overrides: str) -> DictConfig:
    """The config of a command line."""
    register_resolvers()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return compose("train", overrides=list(overrides))
