"""What somebody types who does not know yet how settings are written, and what is said to it."""

from __future__ import annotations

import shlex

import pytest

from dae.config.composition import remembered_compositions
from dae.config.diagnosis import diagnose, refuse_flags
from dae.errors import ConfigError
from dae.words import closest_name
from helpers import SMOKE
from outcome import Train


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("dae.epochs = 3", ["dae.epochs=3"]),
        ("dae.epochs 3 seed = 1", ["dae.epochs=3", "seed=1"]),
        ("dae.epochs:3", ["dae.epochs=3"]),
        ("dae.epochs= 3 data=digits", ["dae.epochs=3"]),
        ("stage =data", ["stage=data"]),
        ("--dae.epochs = 3 --seed=1", ["dae.epochs=3", "seed=1"]),
    ],
)
def test_a_setting_of_several_words_is_put_together(typed, meant):
    with pytest.raises(ConfigError) as told:
        refuse_flags(shlex.split(typed))
    assert [problem.hint for problem in told.value.problems] == [f"try {setting}" for setting in meant]


def test_what_is_no_setting_of_several_words_passes():
    refuse_flags(["--config-name", "data", "name=", "seed=1", "-p", "trainer", "data.root=C:/x", "-m"])


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("dae.encoder.widths=32,16,16", "a list is written in brackets: try 'dae.encoder.widths=[32,16,16]'"),
        ("dae.encoder.widths=(8,8,8)", "a list is written in brackets: try 'dae.encoder.widths=[8,8,8]'"),
        (
            "logger=[tensorboard,csv",
            "expected one of csv, mlflow, none, tensorboard, wandb, or several: [a,b]",
        ),
        ("optimizer=sgd", "try classifier/optimizer=sgd dae/optimizer=sgd"),
        ("data=MNIST", "try data=mnist"),
    ],
)
def test_the_proposed_words_are_those_that_are_meant(typed, hint):
    with remembered_compositions():
        assert diagnose([typed], ValueError()).problems[0].hint == hint


def test_case_is_no_difference():
    assert closest_name("MNIST", ["Digits", "mnist"]) == "mnist"
    assert closest_name("digits", ["Digits", "mnist"]) == "Digits"


def test_a_name_that_is_no_word_is_told_without_a_warning(train: Train):
    done = train(*SMOKE, "name=my run", "objective=accuracy")
    assert done.exit_code == 2
    assert "Warning" not in done.text
    assert "try name=my_run" in done.err
    assert "try objective=classifier/val/accuracy" in done.err
