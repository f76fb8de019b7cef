"""Runs that are interrupted and go on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from dae.errors import ConfigError
from dae.models.autoencoder import DenoisingAutoencoder
from dae.models.classifier import EncoderClassifier
from dae.runs.checkpoint import content_hash, read
from dae.runs.process import Terminated
from dae.runs.resume import finished_objective, refuse_other_run, write_saved_config
from dae.training.callbacks import EpochSeed
from helpers import ONE_PASS, SMOKE, composed
from outcome import Train

QUICK = (
    "data=digits",
    "data.limit=200",
    *ONE_PASS,
    "dae.epochs=3",
    "classifier.epochs=3",
    "callbacks=none",
    "logger=none",
)
STAGES: dict[str, Any] = {"dae": DenoisingAutoencoder, "classifier": EncoderClassifier}


def content(folder: Path) -> dict[str, Any]:
    """Weights of all checkpoints, and the metrics."""
    files = [folder / stage / name for stage in STAGES for name in ("best.ckpt", "last.ckpt")]
    hashes = {
        str(file.relative_to(folder)): content_hash(read(file).tensors) for file in files if file.is_file()
    }
    return {**hashes, **json.loads((folder / "result.json").read_text())["metrics"]}


def status(folder: Path) -> str:
    return json.loads((folder / "result.json").read_text())["status"]


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch):
    """Ends the process as SIGTERM would, at the given training step of a stage."""

    def patch(stage: str, step: int) -> pytest.MonkeyPatch:
        original, steps = STAGES[stage].training_step, iter(range(10**6))

        def training_step(self, batch, index):
            if next(steps) == step:
                raise Terminated(143)
            return original(self, batch, index)

        monkeypatch.setattr(STAGES[stage], "training_step", training_step)
        return monkeypatch

    return patch


SCHEDULED = ("dae/scheduler=one_cycle", "dae/optimizer=sgd", "callbacks=early_stopping")


# An epoch has 13 steps: within the first one, between two, within the second one of stage 2.
@pytest.mark.parametrize(
    ("stage", "step", "extra"),
    [
        ("dae", 5, ()),
        ("dae", 26, SCHEDULED),
        ("classifier", 20, SCHEDULED),
        # Killed after the best validation, which lay within the epoch that is trained again.
        (
            "dae",
            12,
            (
                "trainer.val_check_interval=4",
                "objective=dae/val/pixel_accuracy",
                "dae.optimizer.lr=0.1",
                "stage=dae",
                "dae.epochs=2",
            ),
        ),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(
    train: Train, finished: Train, stop_at, stage, step, extra
):
    whole = finished(*QUICK, *extra).folder
    stopped = stop_at(stage, step)
    broken = train(*QUICK, *extra, place="broken")
    stopped.undo()
    assert (broken.exit_code, status(broken.folder)) == (143, "interrupted")
    resumed = train(f"resume={broken.folder}", place="elsewhere")
    assert resumed.exit_code == 0
    assert not resumed.folders
    assert content(broken.folder) == content(whole)
    assert status(broken.folder) == "completed"


def test_what_went_before_is_not_trained_again(train: Train, stop_at, monkeypatch):
    stop_at("classifier", 20)
    broken = train(*QUICK).folder
    monkeypatch.undo()
    began = []
    original = EpochSeed.on_train_epoch_start

    def note(self, trainer, module):
        began.append((module.stage, trainer.current_epoch))
        original(self, trainer, module)

    monkeypatch.setattr(EpochSeed, "on_train_epoch_start", note)
    seconds = read(broken / "dae" / "last.ckpt").seconds
    done = train("resume=auto")
    assert began == [("classifier", 1), ("classifier", 2)]
    assert "dae is done already" in done.text
    assert "classifier goes on after epoch 1" in done.text
    assert done.result["seconds"]["dae"] >= seconds > 0


def test_a_moved_folder_keeps_its_best_score(train: Train, stop_at, tmp_path):
    """Judged by something that gets worse, so that the best epoch lies before the interruption."""
    worse = ("stage=dae", "objective=dae/val/pixel_accuracy", "dae.optimizer.lr=0.1")
    whole = train(*QUICK, *worse, place="whole").folder
    assert read(whole / "dae" / "best.ckpt").epochs <= 2
    stopped = stop_at("dae", 26)
    broken = train(*QUICK, *worse, place="broken").folder
    stopped.undo()
    moved = tmp_path / "moved, with = a word"
    shutil.move(broken, moved)
    assert train(f'resume="{moved}"', place="broken").exit_code == 0
    for name in ("best.ckpt", "last.ckpt"):
        hashes = [content_hash(read(folder / "dae" / name).tensors) for folder in (moved, whole)]
        assert hashes[0] == hashes[1]


def test_more_epochs(train: Train, finished: Train):
    """Extended runs equal longer ones; stage 2 begins anew, since its encoder is another."""
    longer = finished(*QUICK).folder
    short = train(*QUICK, "dae.epochs=2", place="short")
    done = train(f"resume={short.folder}", "dae.epochs=3", place="short")
    assert done.exit_code == 0
    assert content(short.folder) == content(longer)
    assert OmegaConf.load(short.folder / "config.yaml").dae.epochs == 3
    runs = json.loads((short.folder / "run.json").read_text())
    assert "dae.epochs=2" in runs["command"]
    assert [again["command"] for again in runs["resumed"]] == [
        f"python train.py resume={short.folder} dae.epochs=3"
    ]


def test_a_completed_run_is_taken_as_it_is(train: Train):
    folder = train(*SMOKE).folder
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*.*") if file.name != "train.log"}
    again = train(f"resume={folder / 'dae' / 'last.ckpt'}")
    assert again.exit_code == 0
    assert "is taken as it is: completed" in again.text
    assert {file: file.stat().st_mtime_ns for file in before} == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["resume=nowhere"], "nowhere is not a folder"),
        (["resume=outputs/e=1"], "try 'resume=\"outputs/e=1\"'"),
        (["resume=auto"], "found 1 run in"),
        (["-m", "resume=auto"], "try -m hydra.sweep.dir=<sweep folder>"),
        (
            ["resume={run}", "seed=3"],
            "only dae.epochs, classifier.epochs, data.root,",
        ),
        (["resume={run}", "dae/noise=gaussian"], "a run that goes on keeps its config"),
        (["resume={run}", "dae.epochs=0"], "found 0, but the run was begun for 1"),
        (["resume={run}", "classifier.epochs=abc"], "classifier.epochs: found 'abc'"),
        (["resume={run}", "hydra.run.dir=elsewhere"], "a run that goes on keeps its config"),
        (
            ["resume={run}", "dae.epochs=5"],
            "the schedule dae.models.optimization.one_cycle was laid out for 1",
        ),
        (["-m", "resume={run}"], "try -m hydra.sweep.dir=<sweep folder>"),
    ],
)
def test_refused(train: Train, finished: Train, words, told):
    begun = finished(*SMOKE, "stage=dae", "dae/scheduler=one_cycle")
    folder = begun.folder
    before = (folder / "result.json").read_text()
    done = train(*(word.format(run=folder) for word in words), place=str(begun.place))
    assert done.exit_code == 2
    assert told in done.text
    assert "Traceback" not in done.text
    assert done.folders == [folder]
    assert (folder / "result.json").read_text() == before


def test_other_data_is_refused(train: Train, monkeypatch, stop_at):
    stopped = stop_at("dae", 5)
    broken = train(*QUICK)
    stopped.undo()
    monkeypatch.setattr("dae.data.images.ImageDataModule.checksum", lambda self: "0" * 64)
    done = train(f"resume={broken.folder}")
    assert done.exit_code == 1
    assert "was begun on other data" in done.text


def test_another_config_in_the_same_folder_is_refused(tmp_path):
    saved = composed(*SMOKE, "dae.epochs=3")
    write_saved_config(tmp_path, saved)
    now = OmegaConf.create({**saved, "dae": {**saved.dae, "epochs": 4}, "new": 1})
    with pytest.raises(ConfigError) as caught:
        refuse_other_run(now, tmp_path)
    assert "dae.epochs: saved 3, now 4" in str(caught.value)
    assert "new: saved None, now 1" in str(caught.value)
    assert finished_objective(now, tmp_path) is None
