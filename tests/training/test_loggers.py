"""What is written for TensorBoard, read back by TensorBoard's own reader."""

from __future__ import annotations

import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from dae.training.loggers import hyperparameters
from helpers import ONE_PASS, events
from outcome import Train

QUICK = (
    "data=digits",
    "data.limit=320",
    *ONE_PASS,
    "dae.epochs=2",
    "classifier.epochs=3",
    "trainer.log_every_n_steps=10",
    "callbacks=[pictures,curves]",
)


def points(found: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in found.Scalars(tag)]


def speeds(stage: str) -> set[str]:
    return {f"{stage}/train/{name}" for name in ("images_per_second", "gradient_norm")}


def test_scalars_pictures_text_and_hyperparameters(train: Train):
    folder = train(*QUICK).folder
    result = json.loads((folder / "result.json").read_text())["metrics"]
    for stage, epochs in (("dae", 2), ("classifier", 3)):
        found = events(folder / stage)
        tags = set(found.Tags()["scalars"])
        names = {name for name in result if name.startswith(stage)}
        assert tags == (
            names
            | {f"result/{name}" for name in names if "/val/" in name}
            | {name.replace("/val/", "/train/") for name in names if name in (f"{stage}/val/loss",)}
            | (
                {name.replace("/val/", "/train/") for name in names if "/val/" in name and "accuracy" in name}
                if stage == "classifier"
                else set()
            )
            | {f"{stage}/train/step_loss", f"{stage}/train/learning_rate", *speeds(stage)}
        )
        # Epochs are the x-axis of what is logged once an epoch, images seen of the rest.
        assert [step for step, _ in points(found, f"{stage}/val/loss")] == list(range(1, epochs + 1))
        assert [step for step, _ in points(found, f"{stage}/train/loss")] == list(range(1, epochs + 1))
        steps = [step for step, _ in points(found, f"{stage}/train/step_loss")]
        assert steps == [160 * number for number in range(1, 2 * epochs + 1)]
        for name in names:
            ((_, value),) = points(found, f"result/{name}" if "/val/" in name else name)
            assert value == pytest.approx(result[name])
        (text,) = found.Tensors("config/text_summary")
        assert b"split_seed: 0" in text.tensor_proto.string_val[0]
        hparams = found.summary_metadata
        assert metadata.SESSION_START_INFO_TAG in hparams
        assert metadata.SESSION_END_INFO_TAG in hparams
        assert metadata.EXPERIMENT_TAG not in hparams, "it would hide the other stage's metrics"
        start = metadata.parse_session_start_info_plugin_data(
            hparams[metadata.SESSION_START_INFO_TAG].plugin_data.content
        )
        assert start.hparams["dae.noise.p"].number_value == 0.2
        assert start.hparams["dae.noise"].string_value == "Dropout"
        assert start.hparams["data.source"].string_value == "digits"
        assert start.group_name == f"outputs/{folder.name}"
    assert len(events(folder / "dae").Images("pictures/dae/reconstructions")) == 2


def test_csv(train: Train):
    folder = train(*QUICK, "logger=csv", "stage=dae").folder
    header, *rows = (folder / "dae" / "metrics.csv").read_text().splitlines()
    assert "dae/val/loss" in header.split(",")
    assert len(rows) >= 4
    assert not list(folder.rglob("events*"))


def test_no_logger_at_all(train: Train):
    folder = train(*QUICK, "logger=none", "stage=dae").folder
    assert {file.name for file in (folder / "dae").iterdir()} == {
        "best.ckpt",
        "last.ckpt",
        "reconstructions.png",
        "stage.json",
        "test.json",
    }


def test_hyperparameters():
    noise = {"_target_": "dae.models.noise.Dropout", "p": 0.2}
    optimizer = {"_target_": "torch.optim.Adam", "_partial_": True, "betas": [0.9, 0.999]}
    config = {
        "seed": 0,
        "logger": {"a": 1},
        "data": {"limit": None},
        "dae": {"noise": noise, "optimizer": optimizer},
    }
    assert hyperparameters(config) == {
        "seed": 0,
        "data.limit": "None",
        "dae.noise": "Dropout",
        "dae.noise.p": 0.2,
        "dae.optimizer": "Adam",
        "dae.optimizer.betas": "[0.9, 0.999]",
    }
