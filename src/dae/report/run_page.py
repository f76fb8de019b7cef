"""The page of a run: its record, curves, pictures, test figures with intervals, and further commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dae.config.arms import arm_words, is_denoising
from dae.metrics import METRICS, Metric, curves_of, is_telling, left_out_words, meaning, monitor
from dae.report import configuration
from dae.report.charts import Line, line_chart
from dae.report.embedded_pictures import embedded_pictures
from dae.report.intervals import interval_of
from dae.report.run_folder import RunFolder
from dae.report.scalars import Series, scalar_files
from dae.text import path_from_here, pluralize, quoted_override, quoted_path, train_command

STAGES = {
    "dae": "Stage 1: the denoising autoencoder",
    "classifier": "Stage 2: the classifier",
}
# Characters of the uncommitted changes; run.json holds all of them.
MOST_OF_DIFF = 20_000


@dataclass(frozen=True)
class Figure:
    """A metric of the checkpoint that counts.

    Attributes:
        name: ``stage/split/metric``.
        interval: 95 % confidence interval over the test images; None if there is none.
        how: The method of the interval, or why there is none.
    """

    name: str
    value: float | None
    meaning: str
    interval: tuple[float, float] | None
    how: str
    is_objective: bool


def run_page(folder: Path) -> dict[str, Any]:
    """Everything that ``run.html.jinja`` shows.

    Args:
        folder: The run folder; any file in it may be missing.
    """
    run = RunFolder(folder)
    config = configuration.config_rows(run.config)
    sweep = folder.parent / "multirun.yaml"  # the page of the sweep is written when that ends
    content: dict[str, Any] = {
        "run": run,
        "title": f"{folder.name}: {run.status}",
        "home": "../report.html" if run.in_sweep and sweep.is_file() else None,
        "shows_data": run.config.get("stage") == "data",
        "reason": run.result.get("error"),
        "signs": run.result.get("signs", []),
        "tests": list(metric_figures(run, "test")),
        "validations": list(metric_figures(run, "val")),
        "left_out": _left_out(run),
        "charts": {STAGES[stage]: list(stage_charts(run, stage)) for stage in run.series},
        "pictures": list(embedded_pictures(run)),
        "config": config,
        "chosen": configuration.chosen_rows(config),
        "differing": sum(row.differs for row in config),
        "diff": ((run.run.get("git") or {}).get("diff") or "")[:MOST_OF_DIFF],
        "most_of_diff": MOST_OF_DIFF,
        "apply_diff": _apply_diff(folder),
        "next": next_commands(run),
        "typed": run.run.get("command") or run.command,
        "last_lines": run.last_lines,
    }
    # Last: what is damaged has been noted where it was read.
    return {**content, "notes": [*run_notes(run), *run.damaged.values()]}


def metric_figures(run: RunFolder, split: str) -> Iterator[Figure]:
    """The telling metrics of ``result.json`` on a split, in its order, and the objective."""
    objective = run.result.get("objective", {}).get("name")
    for name, value in run.metrics.items():
        stage, part, metric = name.split("/")
        if part == split and (name == objective or is_telling(name, run.ceiling)):
            interval, how = interval_of(metric, value, run.tested(stage)) if split == "test" else (None, "")
            yield Figure(name, value, meaning(name), interval, how, name == objective)


def _left_out(run: RunFolder) -> str | None:
    """Why pixel accuracy is left out; None if it is not."""
    if run.ceiling is None or all(is_telling(name, run.ceiling) for name in run.metrics):
        return None
    return left_out_words(run.ceiling)


def stage_charts(run: RunFolder, stage: str) -> Iterator[tuple[str, list[str], Markup]]:
    """A title, the names of the lines and the chart, for each telling metric of a stage that was logged."""
    series = run.series[stage]
    counts = _counted_epoch(series, stage)
    own = [name.split("/")[2] for name in run.metrics if name.startswith(f"{stage}/val/")]
    for metric in dict.fromkeys([*curves_of(stage), *own]):
        found = {split: series.get(f"{stage}/{split}/{metric}") for split in ("train", "val")}
        lines = [Line(split, points) for split, points in found.items() if points]
        title = f"{stage}/{metric}"
        if lines and is_telling(title, run.ceiling):
            chart = line_chart(title, lines, "epochs done", counts)
            yield title, [line.name for line in lines], chart
    for name, title in (("step_loss", "loss of single batches"), ("learning_rate", "learning rate")):
        points = series.get(f"{stage}/train/{name}", [])
        if len(points) > 1 and (name == "step_loss" or len({y for _, y in points}) > 1):
            title = f"{stage}: {title}"
            yield title, ["train"], line_chart(title, [Line("train", points)], "images seen")


def _counted_epoch(series: Series, stage: str) -> float | None:
    """The epoch of the checkpoint that counts: the x at which its metrics are logged."""
    for name, points in series.items():
        if name.startswith(f"result/{stage}/val/"):
            return points[-1][0]
    return None


def run_notes(run: RunFolder) -> Iterator[str]:
    """A sentence for each thing that a reader of the figures must know about the run."""
    config = run.config
    if not run.result:
        yield "The run has not ended, or its process was killed: this is its state so far."
    if run.config.get("stage") == "data":
        yield "stage=data shows the data: nothing was trained."
        return
    if run.status == "pruned":
        yield "The search has pruned this run, so there is no test."
    stages = _stages(run)
    for stage in stages:
        folder = run.stage_folder(stage)
        epochs = config.get(stage, {}).get("epochs")
        if epochs == 0:
            yield f"{stage}.epochs=0: nothing was trained in it, so its figures are of an untrained network."
        elif epochs == 1:
            yield f"{stage}.epochs=1: a single epoch is a point, not a curve."
        if stage in run.series and not run.series[stage]:
            if scalar_files(folder):
                yield f"{stage}: no curves, since it ended before there was a point to log."
            else:
                loggers = f"logger={','.join(config.get('logger') or ['none'])}"
                yield f"{stage}: no curves, since {loggers} leaves no file that they could be read from."
        if folder != run.folder / stage:
            yield f"{stage} was trained once for several jobs of the sweep, in {run.shared_from}."
        elif run.shared_from and stage == "dae":
            yield f"{stage} was trained in {run.shared_from}, which is gone, and its curves with it."
        tests = [name for name, value in run.metrics.items() if value is None]
        missing = [name.split("/")[2] for name in tests if name.startswith(f"{stage}/test/")]
        if missing:
            yield f"{stage}: {', '.join(missing)} on the test set is not a number."
    if config.get("stage") == "both" and stages == ["classifier"]:
        yield "Stage 1 was skipped: this classifier does not use it."
    data, trainer = config.get("data", {}), config.get("trainer", {})
    if data.get("channels") == 3:
        yield "Colour images: PSNR, SSIM and losses are over all three channels."
    if data.get("validation") == "test":
        yield "data.validation=test: nothing was chosen on the test set, so the last epoch counts."
    for key in ("limit", "labels"):
        if data.get(key) is not None:
            yield f"data.{key}={data[key]}: only a part of the training data was used."
    cut = [key for key in trainer if key.startswith("limit_") and trainer[key] not in (None, 1.0)]
    if cut:
        settings = ", ".join(f"trainer.{key}={trainer[key]}" for key in cut)
        yield f"Cut short, so the figures mean little: {settings}."
    for split, absent in run.run.get("absent_classes", {}).items():
        yield f"No {split} image is of class {', '.join(absent)}, so no {split} figure covers it."
    if resumed := run.run.get("resumed"):
        yield f"It was interrupted and resumed {pluralize(len(resumed), 'time')}."
    if (run.run.get("git") or {}).get("diff"):
        yield "The code had uncommitted changes: the commit alone does not reproduce the run."


def _stages(run: RunFolder) -> list[str]:
    """The stages that have begun, or else those that the config asks for, in their order."""
    if run.config.get("stage") == "data":
        return []
    asked = [run.config["stage"]] if run.config.get("stage") in METRICS else ["dae", "classifier"]
    begun = [stage for stage in METRICS if stage in run.series]
    return begun if begun else asked if run.config else []


def next_commands(run: RunFolder) -> list[tuple[str, str]]:
    """Commands to go on with, each after what it is for."""
    found, folder, config = [], path_from_here(run.folder), run.config
    ended = run.status in ("completed", "pruned")
    if not ended and run.advice:
        found.append(("With what the error proposes", run.variant(run.advice)))
    if not ended and (run.folder / "config.yaml").is_file():
        found.append(("Go on where it stopped", run.resume()))
    if ended and (longer := _longer(run)):
        found.append(("The last epoch is the best: go on", run.resume(*longer)))
    runs = quoted_path(run.folder.parent)
    found.append(("Curves, pictures and HPARAMS", f"tensorboard --logdir {runs}"))
    if not ended or not config:
        return found
    if config.get("stage") == "data":
        return [("Train on it", run.variant(without=("stage",)))]
    if "dae" in run.result.get("checkpoints", {}):
        place = quoted_override("classifier.encoder_checkpoint", folder)
        probe = [f"{train_command()} stage=classifier classifier=linear", place, *arm_words(config)]
        found.append(("What the frozen latent holds: a linear probe", " ".join(probe)))
    if config.get("stage") != "dae" and config.get("classifier", {}).get("encoder") == "pretrained":
        arms = ("compare=pretraining", "pretraining=none,plain,denoising", "seed=0,1,2")
        without = ("dae.warm_start", "objective", "classifier.encoder_checkpoint")
        found.append(("Does pretraining help? By how much?", run.variant(*arms, sweep=True, without=without)))
    found.append(("How much is luck? More seeds", run.variant("seed=0,1,2", sweep=True)))
    return found


def _apply_diff(folder: Path) -> str:
    code = (
        f"import json; print(json.load(open({path_from_here(folder / 'run.json')!r}))['git']['diff'], end='')"
    )
    return f"{shlex.join(['python', '-c', code])} | git apply"


def _longer(run: RunFolder) -> list[str]:
    """Overrides that double the epochs of stages whose last epoch is the best, if the schedule allows it."""
    if not run.config or run.config.get("data", {}).get("validation") == "test":
        return []
    objective = run.result.get("objective", {})
    longer = []
    for stage, series in run.series.items():
        planned = run.config.get(stage, {}).get("epochs", 0)
        schedule = str(run.config.get(stage, {}).get("scheduler", {}).get("_target_"))
        judged_by = Metric(str(objective.get("name")), objective.get("mode") or "min")
        points = series.get(monitor(stage, judged_by, is_denoising(run.config)).name, [])
        last = len(points) > 1 and _counted_epoch(series, stage) == planned == points[-1][0]
        if last and schedule.endswith(".constant") and run.stage_folder(stage) == run.folder / stage:
            longer.append(f"{stage}.epochs={2 * planned}")
    return longer
