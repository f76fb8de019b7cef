"""The experiments that are studies: they run, and compare what they say they compare."""

from __future__ import annotations

import csv

from omegaconf import OmegaConf

from dae.metrics import NOISE_LEVELS
from helpers import composed
from outcome import Train

QUICK = ("data=digits", "debug=smoke", "logger=none", "seed=0")


def test_which_noise(train: Train):
    done = train("experiment=which_noise", *QUICK, "dae/noise=none,dropout", "callbacks.robustness.images=9")
    assert done.exit_code == 0, done.text
    (sweep,) = done.place.glob("multirun/*")
    rows = list(csv.DictReader((sweep / "leaderboard.csv").open()))
    assert {row["dae/noise"] for row in rows} == {"none", "dropout"}
    for name in ("probe_accuracy", *(f"psnr_{kind}" for kind in NOISE_LEVELS)):
        assert all(float(row[f"dae/test/{name}_mean"]) > 0 for row in rows)
    assert "Leaderboard by dae/val/probe_accuracy" in done.out


def test_baselines(train: Train):
    done = train("experiment=baselines", *QUICK, "classifier=random,linear,notebook")
    assert done.exit_code == 0, done.text
    assert len(done.folders) == 3
    assert done.logs.count("dae epoch 1/1") == 1, "one stage 1 for those that use it"


def test_what_the_baselines_are_compared_by_is_one_thing():
    """The first is the baseline, and the sentence is about the last."""
    random, notebook = (
        OmegaConf.to_container(composed(f"classifier={preset}").classifier)
        for preset in ("random", "notebook")
    )
    assert isinstance(random, dict)
    assert isinstance(notebook, dict)
    assert {key for key in notebook if notebook[key] != random[key]} == {"encoder"}
