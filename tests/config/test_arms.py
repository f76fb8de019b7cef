from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from dae.config.settings import is_denoising, pretraining_word, stages_to_run
from dae.runs.checkpoint import read
from helpers import composed
from outcome import Train

QUICK = ("data=digits", "debug=smoke", "callbacks=none", "logger=none")
ARMS = ("pretraining=none,plain,denoising", "dae.noise.p=0.2,0.4")


@pytest.mark.parametrize(
    ("overrides", "stages", "word"),
    [
        ((), ["dae", "classifier"], "denoising"),
        (("pretraining=plain",), ["dae", "classifier"], "plain"),
        (("pretraining=none",), ["classifier"], "denoising"),
        (("dae/noise=none",), ["dae", "classifier"], "plain"),
        (("classifier=random",), ["classifier"], "denoising"),
        (("classifier=logistic",), ["classifier"], "denoising"),
        (("stage=dae", "pretraining=plain"), ["dae"], "plain"),
    ],
)
def test_what_an_arm_runs(overrides, stages, word):
    cfg = composed(*overrides)
    assert stages_to_run(cfg) == stages
    assert pretraining_word(cfg) == word
    assert is_denoising(cfg) == (word == "denoising")


def test_the_arms_differ_in_their_stage_1_alone(train: Train):
    """Plain under two noises is one autoencoder; all arms start from the same untrained encoder."""
    done = train("-m", *QUICK, *ARMS)
    assert done.exit_code == 0
    encoders: dict[tuple[str, str], torch.Tensor] = {}
    for job in done.folders:
        values = dict(pair.split("=") for pair in _overrides(job))
        found = read(job / "classifier" / "best.ckpt")
        encoders[values["pretraining"], values["dae.noise.p"]] = found.tensors["encoder.blocks.0.conv.weight"]
        assert found.pretraining == values["pretraining"]
    assert torch.equal(encoders["plain", "0.2"], encoders["plain", "0.4"])
    assert not torch.equal(encoders["denoising", "0.2"], encoders["denoising", "0.4"])
    assert not torch.equal(encoders["denoising", "0.2"], encoders["plain", "0.2"])
    # Stage 1 of no epochs is what it starts from.
    start = read(train(*QUICK, "stage=dae", "dae.epochs=0", place="start").folder)
    for p in ("0.2", "0.4"):
        assert torch.equal(encoders["none", p], start.tensors["encoder.blocks.0.conv.weight"])
    # plain, and denoising under two noises.
    assert len(list(done.place.glob("multirun/*/stage1/*/dae/best.ckpt"))) == 3


def _overrides(job: Path) -> list[str]:
    found: list[str] = yaml.safe_load((job / ".hydra" / "overrides.yaml").read_text())
    return found


def test_a_sweep_reads_a_checkpoint_in_the_arm_that_it_is_of(train: Train, finished: Train):
    stage1 = finished(*QUICK, "stage=dae").folder
    place = f"classifier.encoder_checkpoint={stage1}"
    done = train("-m", *QUICK, "stage=classifier", place, "pretraining=none,plain,denoising")
    assert done.exit_code == 1
    status = {}
    for job in done.folders:
        result = json.loads((job / "result.json").read_text())
        status[job.name.split("-")[1]] = result["status"]
        if "plain" in job.name:
            assert "was pretrained with denoising, and pretraining=plain is asked for" in result["error"]
    assert status == {"none": "completed", "plain": "failed", "denoising": "completed"}


def test_stage_1_without_noise_is_chosen_by_the_clean_loss(finished: Train):
    for overrides, monitor in (
        (("pretraining=plain",), "dae/val/loss"),
        (("dae/noise=none",), "dae/val/loss"),
        ((), "dae/val/noisy_loss"),
    ):
        done = finished(*QUICK, "stage=dae", *overrides)
        assert done.result["objective"]["name"] == monitor
        assert f"(best {monitor})" in done.logs


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("pretraining=none", "stage=dae"), "pretraining: found 'none', which leaves stage 1 out"),
        (
            ("pretraining=none", "dae.warm_start=x"),
            "dae.warm_start: found 'x', but no stage that runs reads it",
        ),
        (("pretraining=plane",), "try pretraining=plain"),
        (("classifier.choose=last", "callbacks=early_stopping"), "or classifier.choose=last"),
    ],
)
def test_what_makes_no_sense_is_refused(train: Train, overrides, words):
    done = train("data=digits", *overrides)
    assert done.exit_code == 2
    assert words in done.text
