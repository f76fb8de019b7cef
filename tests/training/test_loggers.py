"""Loggers besides TensorBoard, which is asked itself in ``test_tensorboard.py``; hyperparameters."""

from __future__ import annotations

from dae.training.loggers import hyperparameters
from helpers import ONE_PASS
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
