"""What tests are made of: the outcome of a command, a composed config."""

from __future__ import annotations

import json
import os
import re
import signal
from base64 import b64decode
from collections.abc import Iterable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from PIL import Image, ImageDraw
from pytorch_lightning import Callback, LightningModule, Trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dae.config.compose import conf_folder
from dae.data.images import FeatureDataModule
from dae.launch import register_resolvers
from dae.runs.records import FORMAT
from dae.sweeps.names import job_folder
from outcome import ONE_PASS as ONE_PASS

# Both stages, in a second.
QUIET = ("logger=none", "callbacks=none")
SMOKE = ("data=digits", "debug=smoke", *QUIET)
ACCURACY = ("classifier/val/accuracy", "max")
LOSS = ("dae/val/loss", "min")


class Gambler(Callback):
    """Draws random numbers where nobody expects it."""

    def on_train_epoch_start(self, *_: Any) -> None:
        torch.rand(7)

    def on_validation_epoch_end(self, *_: Any) -> None:
        torch.rand(7)


class LogsMine(Callback):
    """A metric of the user's own."""

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.log("dae/val/mine", float(trainer.current_epoch))


class FailsInTheSecond(Callback):
    """An error of one process alone."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_rank == 1:
            raise ValueError("the second process has no luck")


class CountsImages(Callback):
    """Writes how many images each process has been given."""

    def __init__(self) -> None:
        self.seen = 0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.seen += len(batch[1])

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        folder = trainer.default_root_dir
        with open(f"{folder}/seen-{trainer.global_rank}", "w") as file:  # noqa: PTH123
            file.write(str(self.seen))


def draw_images(folder: Path, count: int, size: tuple[int, int] = (24, 24), mode: str = "RGB") -> Path:
    """A folder of so many images, each with a rectangle of its own on a ground of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        picture = Image.new(mode, size, (3 * number) % 200 if mode == "L" else (90, (3 * number) % 200, 40))
        ImageDraw.Draw(picture).rectangle([2, 2, 4 + number % (size[0] // 2), size[1] // 2], fill=220)
        picture.save(folder / f"{number:03}.png")
    return folder


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


def composed(*overrides: str) -> DictConfig:
    """The config of a command line."""
    register_resolvers()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return compose("train", overrides=list(overrides))


def add_job(
    sweep: Path,
    *overrides: str,
    value: float | None = None,
    objective: tuple[str | None, str | None] = ACCURACY,
    status: str = "completed",
    error: str | None = None,
    signs: Sequence[str] = (),
    **metrics: float,
) -> Path:
    """A job's folder; ``metrics`` are named with ``__`` for ``/``, ``signs`` as ``dae/few_steps``."""
    folder = begin_job(sweep, *overrides)
    name, mode = objective
    measured: dict[str | None, float] = {key.replace("__", "/"): number for key, number in metrics.items()}
    if value is not None:
        measured[name] = value
    result = {
        "status": status,
        "objective": {"name": name, "mode": mode, "value": value},
        "metrics": measured,
        "checkpoints": {"dae": "dae/best.ckpt", "classifier": "classifier/best.ckpt"} if value else {},
        "shared_from": None,
        "seconds": {"total": 1.5},
        "signs": [
            {"stage": stage, "name": name, "text": f"{name}: 20, fewer than 300", "value": 20, "limit": 300}
            for stage, name in (sign.split("/") for sign in signs)
        ],
        "error": error,
    }
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def begin_job(sweep: Path, *overrides: str) -> Path:
    return write_job(sweep / job_folder(overrides), *overrides)


def write_job(folder: Path, *overrides: str, swept: str = "") -> Path:
    """What Hydra and a run leave in a job's folder; ``swept`` are the quoted keys that its sweep varies."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(list(overrides)))
    config: dict[str, Any] = {"seed": 0}
    choices: dict[str, str] = {"classifier": "notebook", "dae/noise": "dropout"}
    for override in overrides:
        key, _, text = override.lstrip("+~").partition("=")
        is_group = "/" in key or key in ("classifier", "data", "experiment")
        if is_group:
            choices[key] = text
        path = key.rpartition("@")[2].replace("/", ".").split(".") + ["_target_"] * is_group
        node = config
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = yaml.safe_load(text)
    for file in (folder / "config.yaml", folder / ".hydra" / "config.yaml"):
        file.write_text(yaml.safe_dump(config, sort_keys=False))
    hydra = {"callbacks": {"sweep_folder": {"swept": swept.split(",") if swept else []}}}
    hydra["runtime"] = {"choices": choices}  # type: ignore[dict-item]
    (folder / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump({"hydra": hydra}))
    return folder


def write_run_info(folder: Path, **changed: Any) -> None:
    """``run.json`` as a run leaves it."""
    info: dict[str, Any] = {
        **{"format": FORMAT, "command": "python train.py", "started": "2020-01-01T00:00:00+00:00"},
        **{"git": None, "versions": {}, "device": "a", "threads": 1, "platform": "b", "data": "digits"},
        **{"classes": [], "labels": 1, "data_checksum": ""},
    }
    (folder / "run.json").write_text(json.dumps({**info, **changed}))


def write_multirun(sweep: Path, task: Sequence[str], hydra: Sequence[str] = ("hydra.mode=MULTIRUN",)) -> None:
    sweep.mkdir(parents=True, exist_ok=True)
    content = {"hydra": {"overrides": {"task": list(task), "hydra": list(hydra)}}}
    (sweep / "multirun.yaml").write_text(yaml.safe_dump(content))


class Page(HTMLParser):
    """A ``report.html``: its text, its elements, and what it would load or lead to."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.source = (folder / "report.html").read_text()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.style = ""
        self.open: list[str] = []
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["style"]:
            self.style += data
        elif self.open[-1:] != ["script"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def figures(self) -> list[float]:
        return [float(str(each["value"])) for each in self.all("data")]

    @property
    def charts(self) -> dict[str, str]:
        """What each chart shows in words, and its SVG."""
        kind = "data:image/svg+xml;base64,"
        images = {str(each["alt"]): str(each["src"]) for each in self.all("img")}
        return {
            told: b64decode(source[len(kind) :]).decode()
            for told, source in images.items()
            if source.startswith(kind)
        }

    @property
    def references(self) -> set[str]:
        """All that a browser would load, or go to; in style sheets too."""
        names = ("src", "srcset", "href", "xlink:href", "action", "data", "poster", "background")
        found = {str(each[name]) for _, each in self.elements for name in names if name in each}
        styles = [self.style, *(str(each.get("style")) for _, each in self.elements)]
        return found | set(re.findall(r"url\(|@import", " ".join(styles)))

    def assert_well_formed(self, leads_to: Iterable[str] = ()) -> None:
        """Self-contained, small, with what a reader needs who does not see it."""
        outside = {name for name in self.references if not name.startswith(("#", "data:image/"))}
        assert outside == set(leads_to)
        ids = [f"#{each['id']}" for _, each in self.elements if "id" in each]
        assert len(ids) == len(set(ids))
        assert set(ids) >= {name for name in self.references if name.startswith("#")}
        assert len(self.source.encode()) < 3_000_000
        assert all(each["alt"] for each in self.all("img"))
        boxes = [each for each in self.all("div") if each.get("class") == "scroll"]
        assert len(boxes) == len([*self.all("img"), *self.all("table")]), "each scrolls alone"
        assert all("scope" in each for each in self.all("th"))
        assert len(self.all("h1")) == len(self.all("style")) == 1
        assert not self.all("script")
        assert "default-src 'none'" in self.source


def launch_beside(folder: Path, said: Path, arguments: Sequence[str]) -> None:
    """Be ``python train.py`` with these arguments, in a process that was forked for it.

    Args:
        folder: Where it is typed.
        said: The file that its console is added to.
        arguments: What is typed behind ``train.py``.
    """
    from dae.launch import launch

    os.chdir(folder)
    with said.open("ab") as console:
        for number in (1, 2):
            os.dup2(console.fileno(), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os._exit(launch(arguments))
