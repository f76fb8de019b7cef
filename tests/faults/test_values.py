"""What can only fail later is refused before anything is trained, in words, or made to work."""

from __future__ import annotations

import os
import shlex
import warnings

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser

from dae.config.building import build
from dae.config.diagnosis import diagnose
from dae.config.settings import _unless_in_force, check_config
from dae.config.sizes import check_sizes, total_memory
from dae.data.images import ImageDataModule
from dae.errors import ConfigError, Problem
from dae.models.optimization import one_cycle
from dae.report.charts import Dots, dot_chart
from dae.words import quoted_override
from helpers import QUIET, SMOKE, composed


def told(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        check_config(composed("data=digits", "trainer=cpu", *overrides))
    return str(caught.value)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("dae.decoder.image_size=32", "dae.decoder.image_size: found 32, but data.image_size is 28"),
        ("dae.decoder.out_channels=3", "dae.decoder.out_channels: found 3, but data.channels is 1"),
        ("dae.decoder.widths=[8,8,8]", "try 'dae.decoder.widths=[32, 16, 16]'"),
        ("dae.encoder.in_channels=3", "dae.encoder.in_channels: found 3, but data.channels is 1"),
        ("dae.encoder.image_size=32", "dae.encoder.image_size: found 32, but data.image_size is 28"),
        ("dae.encoder.widths=[1000000,1000,16]", "dae.encoder.widths: 18,"),
        (
            "dae.encoder.widths=[1000000000,1000000000,1]",
            "dae.encoder: fails on images of 1 x 28 x 28: Storage",
        ),
        ("classifier.hidden=1000000000", "classifier.hidden: 257,000,000,000 weights"),
        ("data.image_size=100000", "data.image_size: found 100000: 1,797 images take 17,970.0 GB"),
        ("trainer.precision=64-true", "found '64-true', expected 'auto' or '32-true' or 'bf16-mixed'"),
        ("trainer.precision=bf16-true", "trainer.precision: found 'bf16-true'"),
        ("trainer.precision=16-true", "trainer.precision: found '16-true'"),
        (
            "trainer.devices=[0]",
            "a processor has no numbers: say how many processes train\n      try trainer.devices=1",
        ),
        ("trainer.devices=-1", "trainer.devices: found -1, expected an integer > 0 or a list"),
        ("trainer.devices=auto", "trainer.devices: found 'auto', expected an integer > 0 or a list"),
        ("trainer.devices=100000", "trainer.devices: found 100000, but this machine has"),
        (
            "trainer.limit_predict_batches=-1",
            "trainer: Lightning's Trainer refuses its arguments: You have passed",
        ),
        ("trainer.max_time={weeks: 1000000000}", "trainer: Lightning's Trainer refuses its arguments"),
        ("dae.optimizer._target_=torch.optim.SparseAdam", "dae.optimizer"),
    ],
)
def test_refused_before_data_are_read(override, words):
    assert words in told(override)


def test_an_optimizer_that_fails_at_its_first_step():
    words = told("dae.optimizer.fused=false", "+dae.optimizer.capturable=true")
    assert "dae.optimizer: Adam refuses its first step: If capturable=True" in words


@pytest.fixture(scope="module")
def digits() -> ImageDataModule:
    data: ImageDataModule = build(composed("data=digits").data)
    data.setup()
    return data


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["trainer.limit_val_batches=0.1"],
            "trainer.limit_val_batches: found 0.1, less than one of the 2 batches",
        ),
        (
            ["trainer.limit_test_batches=0.1"],
            "of the 3 batches of dae\n      try trainer.limit_test_batches=1",
        ),
        (["trainer.limit_train_batches=0.001"], "less than one of the 123 batches of classifier"),
        (["trainer.val_check_interval=124"], "found 124, but an epoch of dae has 123 batches"),
        (
            ["trainer.limit_train_batches=3", "trainer.val_check_interval=4"],
            "found 4, but an epoch of classifier has 3 batches",
        ),
        (["dae.encoder.widths=[1000000,16,16]"], "dae.encoder.widths: 308,006,977 weights"),
        (
            ["data.batch_size=1000000000", "data.image_size=2048"],
            "data.batch_size: 16,833 weights and a step of 1,2",
        ),
        (["classifier.hidden=100000000"], "classifier.hidden: 26,600,000,000 weights"),
    ],
)
def test_refused_once_the_number_of_images_is_known(digits, overrides, words):
    cfg = composed("data=digits", "trainer=cpu", *overrides)
    digits.batch_size, digits.least_steps = cfg.data.batch_size, cfg.data.least_steps
    with pytest.raises(ConfigError) as caught:
        check_sizes(cfg, digits)
    assert words in str(caught.value)


def test_nothing_is_refused_for_memory_where_nobody_says_how_much_there_is(monkeypatch, digits):
    monkeypatch.delattr(os, "sysconf_names")
    assert total_memory("cpu") is None
    digits.batch_size, digits.least_steps = 32, 100
    cfg = composed("data=digits", "trainer=cpu", "dae.encoder.widths=[1000000,16,16]")
    check_config(cfg)
    check_sizes(cfg, digits)


@pytest.mark.parametrize(("warmup", "steps"), [(0.5, 2), (0.1, 10), (0.25, 4), (0.3, 1), (0.999, 1)])
def test_one_cycle_has_a_rate_for_every_step(warmup, steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = one_cycle(optimizer, steps, warmup)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(rates) < steps:
            schedule.step()
    assert all(0 <= rate <= 1 for rate in rates)
    assert steps == 1 or min(rates) < 1e-4 < max(rates)


def test_a_key_that_a_user_has_made_an_interpolation_is_blamed_itself():
    words = told("trainer.accelerator=${seed}")
    assert "trainer.accelerator: found 0" in words
    assert "seed: " not in words


def test_nothing_is_proposed_that_is_in_force():
    problem = Problem("a.b", "found 3", "try a.b=3 'a.c=[1, 2]'")
    assert _unless_in_force(problem, {"a": {"b": 3, "c": [1, 2]}}).hint == ""
    assert _unless_in_force(problem, {"a": {"b": 3, "c": [1]}}) == problem


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            "logger=[[1]]",
            "logger=[[1]]: there is no logger '1', expected one of csv, mlflow, none, tensorboard, wandb",
        ),
        ("callbacks=[[1]]", "callbacks=[[1]]: there is no callbacks '1', expected one of"),
        ("logger=[null]", "logger=[null]: there is no logger 'null'"),
        ("data=[[mnist]]", "data=[[mnist]]: "),
        ("trainer={a: 1}", "trainer={a: 1}: "),
        ("dae/noise=1.5", "dae/noise=1.5: "),
    ],
)
def test_nonsense_in_the_place_of_a_group_is_refused_in_words(train, override, words):
    done = train(override)
    assert done.exit_code == 2
    assert words in done.err
    assert "Traceback" not in done.text
    assert not (done.place / "outputs").exists()


@pytest.mark.parametrize("word", ["name=größe", "größe=1", "=1", "a b=1", "data.root='x", "a=b\\"])
def test_what_hydra_cannot_read_is_told_in_words(word):
    assert isinstance(diagnose([word], ValueError("refused")), ConfigError)


@pytest.mark.parametrize("value", ["größe", "a b", 'say "x"', "back\\", '\\"', "c:\\x y", "it's", "{a}"])
def test_what_is_proposed_can_be_read(value):
    (word,) = shlex.split(quoted_override("name", value))
    assert OverridesParser.create().parse_override(word).value() == value


def test_resume_null_begins_a_run(train):
    done = train("resume=null", "stage=data", "data=digits", *QUIET)
    assert done.exit_code == 0


def test_what_lightning_refuses_in_a_callback_is_told_in_words(train):
    monitor = "+callbacks.x={_target_: pytorch_lightning.callbacks.DeviceStatsMonitor}"
    done = train(*SMOKE, "stage=classifier", "classifier=random", monitor)
    assert done.exit_code == 1
    assert (
        "Lightning refuses what classifier is to be trained with: Cannot use `DeviceStatsMonitor`"
        in done.text
    )
    assert "Traceback" not in done.text


def test_a_page_warns_of_no_glyph():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "漢" in dot_chart("title", [Dots("漢", [1.0, 2.0], 1.5, 0.5)], "x")
