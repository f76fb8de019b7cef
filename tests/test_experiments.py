"""The experiments that are studies: they run, and compare what they say they compare."""

from __future__ import annotations

import csv
import re

import pytest

from dae.cli import main
from dae.metrics import NOISE_LEVELS
from outcome import Train

QUICK = ("data=digits", "debug=smoke", "logger=none", "seed=0")


def test_which_noise(train: Train, capsys: pytest.CaptureFixture[str]):
    done = train("experiment=which_noise", *QUICK, "dae/noise=none,dropout", "callbacks.robustness.images=9")
    assert done.exit_code == 0, done.text
    (sweep,) = done.place.glob("multirun/*")
    rows = list(csv.DictReader((sweep / "leaderboard.csv").open()))
    assert {row["dae.noise"] for row in rows} == {"none", "dropout p 0.2"}
    for kind in NOISE_LEVELS:
        assert all(float(row[f"dae/test/psnr_{kind}_mean"]) > 0 for row in rows)
    other = ("dae/noise=dropout", "dae.noise.p=0.3,0.4,0.5", f"hydra.sweep.dir={sweep}")
    done = train("experiment=which_noise", *QUICK, *other, "callbacks.robustness.images=9")
    assert "Does dae.noise=dropout p 0.2 help?" in done.out, "other levels join, the answer stays"
    assert main(["results", str(sweep), "--figures", str(done.place)]) == 0
    shown = capsys.readouterr().out
    for level in (0.2, 0.4):
        assert re.search(rf"\n\| dropout p {level} \| [\d.*]+ \| [-+][\d.]+ \(-\) \| ", shown), "a row an arm"
    assert "psnr_mask" in shown
    assert (done.place / f"{sweep.name}.svg").read_bytes().startswith(b"<?xml")


def test_baselines(train: Train):
    done = train("experiment=baselines", *QUICK, "classifier=random,linear,notebook")
    assert done.exit_code == 0, done.text
    assert len(done.folders) == 3
    assert done.logs.count("dae epoch 1/1") == 1, "one stage 1 for those that use it"


RECIPES = ("experiment=best,speedrun pretraining=none,denoising", "experiment=best_few_none,best_few")


@pytest.mark.parametrize(("words", "compared"), zip(RECIPES, ("pretraining", "experiment"), strict=True))
def test_recipes_are_held_against_no_pretraining(train: Train, words: str, compared: str):
    done = train("-m", *words.split(), f"compare={compared}", *QUICK[:-1], "seed=0,1")
    assert done.exit_code == 0, done.text
    assert "no verdict (it needs 3 seeds, found 2)" in done.out, "each seed has a pair"
