"""The page of a run: the result, signs, curves, pictures, what was run, how to go on."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dae.config.settings import arm_words
from dae.errors import UserError
from dae.files import read_yaml
from dae.metrics import METRICS, meaning
from dae.report.charts import Picture, curve_chart, png_picture
from dae.report.intervals import interval_of
from dae.report.scalars import read_series
from dae.runs.folder import is_stale
from dae.runs.records import (
    ENDED,
    FILE,
    OUTPUT_SUBDIR,
    read_hydra,
    read_overrides,
    read_result,
    read_run,
    read_stage,
    read_tested,
    shared_stage_folder,
)
from dae.runs.resume import resume_command
from dae.text import command, path_from_here, quoted_override, quoted_path, run_alone

STAGES = {"dae": "Stage 1: the denoising autoencoder", "classifier": "Stage 2: the classifier"}
# In the order of the page.
CAPTIONS = {
    "dae/reconstructions.png": "Validation images, the same under the reference noise, and as stage 1 "
    "reconstructs them at the epoch that counts.",
    "classifier/confusion.png": "True classes against predicted ones.",
    "classifier/mistakes.png": "The mistakes that the classifier was surest of.",
    "classifier/calibration.png": "Accuracy against confidence; ECE is the mean gap between the two.",
    "dae/robustness.png": "How denoising holds at other noise: PSNR of the reconstruction, beside that of "
    "the noisy image itself, which is what doing nothing gives.",
    "dae/latent.png": "Test images in the latent, projected on two dimensions.",
    "dae/filters.png": "The filters of the first convolution.",
    "contact_sheet.png": "Some training images of each class.",
}
# All pictures together, so that a page stays below 3 MB; base64 makes them a third larger.
MOST_BYTES = 2_400_000
LAST_LINES = 40  # of train.log: enough for a traceback


@dataclass(frozen=True)
class Figure:
    """A metric of the checkpoint that counts; ``interval`` is over the test images, ``how`` its method."""

    name: str
    value: float | None
    meaning: str
    interval: tuple[float, float] | None
    how: str
    is_objective: bool


class RunFolder:
    """The files of a run, each read once; any of them may be missing.

    Attributes:
        damaged: What is wrong with those that cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged: list[str] = []
        self.result = self._read(read_result, folder, otherwise={"status": "broken"})
        self.run = self._read(read_run, folder)
        config = folder / FILE
        self.config = self._read(
            read_yaml, config if config.exists() else folder / OUTPUT_SUBDIR / "config.yaml"
        )
        self.hydra = self._read(read_hydra, folder / OUTPUT_SUBDIR / "hydra.yaml")
        self.overrides = self._read(read_overrides, folder, otherwise=())
        self.stages = {stage: self._read(read_stage, folder / stage) for stage in METRICS}
        self.shared_from = self.result.get("shared_from") or self.stages["dae"].get("shared_from")
        places = {stage: self.stage_folder(stage) for stage in METRICS}
        self.series = {
            stage: self._read(read_series, place) for stage, place in places.items() if place.is_dir()
        }
        self.tested = {stage: self._read(read_tested, place) for stage, place in places.items()}

    def _read(self, read: Callable[..., Any], *place: Path, otherwise: Any = None) -> Any:
        try:
            return read(*place)
        except UserError as error:
            self.damaged.append(str(error))
            return {} if otherwise is None else otherwise

    @property
    def status(self) -> str:
        """That of ``result.json``, or ``running``, or ``interrupted`` if nobody runs it any more."""
        return str(self.result.get("status") or ("interrupted" if is_stale(self.folder) else "running"))

    @property
    def metrics(self) -> dict[str, float | None]:
        """Of the checkpoint that counts; during a run, of the stages that have ended."""
        ended = [stage.get("metrics", {}) for stage in self.stages.values()]
        return self.result.get("metrics") or {name: each for part in ended for name, each in part.items()}

    def stage_folder(self, stage: str) -> Path:
        """Where a stage was trained; for stage 1 this may be in the ``stage1/`` of the sweep."""
        elsewhere = shared_stage_folder(self.folder, self.shared_from, stage)
        return elsewhere if elsewhere.is_dir() else self.folder / stage

    def variant(self, *words: str, without: tuple[str, ...] = ()) -> str:
        """The command of a sweep that differs from this run in some overrides, and leaves out others."""
        replaced = {*without, *(word.partition("=")[0] for word in words)}
        kept = [text for text in self.overrides if text.lstrip("+").partition("=")[0] not in replaced]
        compares = self.config.get("compare") and not any(word.startswith("compare=") for word in words)
        return command(self.hydra, "-m", *kept, *words, *(["compare=null"] if compares else []))


def run_page(folder: Path) -> dict[str, Any]:
    """Everything that ``run.html.jinja`` shows."""
    run = RunFolder(folder)
    figures = {split: list(metric_figures(run, split)) for split in ("test", "val")}
    sweep = folder.parent / "multirun.yaml"  # the page of the sweep is written when that ends
    log = folder / "train.log"
    lines = log.read_text("utf-8", errors="replace").splitlines() if log.is_file() else []
    return {
        "run": run,
        "title": f"{folder.name}: {run.status}",
        "home": "../report.html" if sweep.is_file() else None,
        "figures": figures,
        "charts": {STAGES[stage]: list(stage_charts(run, stage)) for stage in run.series},
        "pictures": list(pictures(run)),
        "notes": [*run_notes(run), *run.damaged],
        "typed": run.run.get("command") or command(run.hydra, *run_alone(run.overrides)),
        "again": command(run.hydra, *run_alone(run.overrides)),
        "config": (folder / FILE).read_text("utf-8", errors="replace") if (folder / FILE).is_file() else "",
        "last_lines": "\n".join(line[:500] for line in lines[-LAST_LINES:]),
        "next": next_commands(run),
    }


def metric_figures(run: RunFolder, split: str) -> Iterator[Figure]:
    """The metrics of ``result.json`` on a split, in its order."""
    objective = run.result.get("objective", {}).get("name")
    for name, value in run.metrics.items():
        stage, part, metric = name.split("/")
        if part == split:
            interval, how = interval_of(metric, value, run.tested[stage]) if split == "test" else (None, "")
            yield Figure(name, value, meaning(name), interval, how, name == objective)


def stage_charts(run: RunFolder, stage: str) -> Iterator[Picture]:
    """A chart for each metric of a stage that was logged more than once."""
    series = run.series[stage]
    counts = next(
        (points[-1][0] for name, points in series.items() if name.startswith(f"result/{stage}/val/")), None
    )
    names = dict.fromkeys(
        name.split("/")[2] for name in series if name.startswith(f"{stage}/val/") and name.count("/") == 2
    )
    for metric in names:
        found = {split: series.get(f"{stage}/{split}/{metric}") for split in ("train", "val")}
        curves = {split: points for split, points in found.items() if points}
        if any(len(points) > 1 for points in curves.values()):
            yield curve_chart(f"{stage}/{metric}", curves, counts)


def pictures(run: RunFolder) -> Iterator[Picture]:
    """The pictures that exist, in the order of ``CAPTIONS``."""
    left = MOST_BYTES
    for name, caption in CAPTIONS.items():
        stage, _, file = name.rpartition("/")
        place = (run.stage_folder(stage) if stage else run.folder) / file
        if place.is_file():
            fits = place.stat().st_size <= left
            left -= place.stat().st_size * fits
            too_large = f"{caption} Too large for this page: {name} in the run folder."
            yield png_picture(place, caption) if fits else Picture(too_large, None, caption)


def run_notes(run: RunFolder) -> Iterator[str]:
    """A sentence for each thing that a reader of the figures must know about the run."""
    yield from (f"{sign['stage']}: {sign['text']}" for sign in run.result.get("signs", []))
    if not run.result:
        yield "The run has not ended, or its process was killed: this is its state so far."
    if run.status == "pruned":
        yield "The search has pruned this run, so there is no test."
    if run.config.get("stage") == "both" and [*run.series] == ["classifier"]:
        yield "Stage 1 was skipped: this classifier does not use it."
    if run.shared_from:
        yield f"Stage 1 was trained once for several jobs of the sweep, in {run.shared_from}."
    if run.config.get("data", {}).get("validation") == "test":
        yield "data.validation=test: nothing was chosen on the test set, so the last epoch counts."
    data, trainer = run.config.get("data", {}), run.config.get("trainer", {})
    cut = [f"data.{key}={data[key]}" for key in ("limit", "labels") if data.get(key) is not None]
    cut += [
        f"trainer.{k}={trainer[k]}"
        for k in trainer
        if k.startswith("limit_") and trainer[k] not in (None, 1.0)
    ]
    if cut:
        yield f"Only a part of the data was used: {', '.join(cut)}."


def next_commands(run: RunFolder) -> dict[str, str]:
    """Commands to go on with, by what each is for."""
    found: dict[str, str] = {}
    config = run.config
    ended = run.status in ENDED
    if not ended and (run.folder / FILE).is_file():
        found["Go on where it stopped"] = resume_command(run.folder)
    found["Curves, pictures and HPARAMS"] = shlex.join(
        ["tensorboard", "--logdir", quoted_path(run.folder.parent)]
    )
    if not ended or not config:
        return found
    if config.get("stage") != "dae" and config.get("classifier", {}).get("encoder") == "pretrained":
        arms = ("compare=pretraining", "pretraining=none,plain,denoising", "seed=0,1,2")
        without = ("dae.warm_start", "objective", "classifier.encoder_checkpoint", "stage")
        found["Does pretraining help? By how much?"] = run.variant(*arms, without=without)
    if "dae" in run.result.get("checkpoints", {}) and "dae" in config:
        linear = command(run.hydra, "stage=classifier", "classifier=linear")
        place = quoted_override("classifier.encoder_checkpoint", path_from_here(run.folder))
        probe = " ".join([linear, place, *arm_words(config)])
        found["What the frozen latent holds: a linear probe"] = probe
    found["How much is luck? More seeds"] = run.variant("seed=0,1,2")
    return found
