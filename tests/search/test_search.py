"""Searches on the digits, each trial a few batches."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser

from helpers import SMOKE
from outcome import Outcome

optuna = pytest.importorskip("optuna")

from optuna.distributions import (  # noqa: E402
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from dae.search.search import storage  # noqa: E402
from dae.search.space import distribution  # noqa: E402

DAE = (*SMOKE, "stage=dae")
SEARCH = ("-m", "hydra/sweeper=optuna", "hydra.sweep.dir=multirun/search")
EACH_ONCE = "hydra.sweeper.sampler._target_=optuna.samplers.BruteForceSampler"
SHA = "hydra.sweeper.pruner._target_=optuna.pruners.SuccessiveHalvingPruner"
RATE = "dae.optimizer.lr=tag(log,interval(1e-4,1e-2))"
GOOD_OR_NOT = ("dae.optimizer.lr=1e-3,1e-9", "trainer.limit_train_batches=30", "hydra.sweeper.n_trials=2")


def study_of(done: Outcome) -> Any:
    return optuna.load_study(study_name="search", storage=storage(done.place / "multirun" / "search"))


def states(done: Outcome) -> list[str]:
    return [trial.state.name for trial in study_of(done).trials]


def folder_of(done: Outcome, number: int) -> Path:
    """Of a trial, by its overrides, which are found in one job alone."""
    value = study_of(done).trials[number].user_attrs["overrides"][-1]
    (found,) = (f for f in done.folders if f"- {value}\n" in (f / ".hydra" / "overrides.yaml").read_text())
    return found


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def parsed(text: str) -> Any:
    return distribution(OverridesParser.create().parse_override(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=interval(0,1)", FloatDistribution(0, 1)),
        ("a=tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("a=int(interval(1,9))", IntDistribution(1, 9)),
        ("a=tag(log,int(interval(8,128)))", IntDistribution(8, 128, log=True)),
        ("a=range(8,65,8)", IntDistribution(8, 64, step=8)),
        ("a=range(0,0.5,0.25)", CategoricalDistribution([0.0, 0.25])),
        ("a=1,null,[3,4]", CategoricalDistribution(["1", "null", "[3,4]"])),
        ("a/b=choice(c,d)", CategoricalDistribution(["c", "d"])),
    ],
)
def test_hydras_sweeps_are_distributions(text, expected):
    assert parsed(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a=tag(sigma,interval(0,1))", "found the tag sigma, expected none, or log"),
        ("a=tag(log,choice(1,2))", "found the tag log, expected none, or log of an interval"),
        ("a=tag(log,interval(0,1))", "low > 0"),
        ("a=range(3,3)", "the range is empty"),
    ],
)
def test_what_cannot_be_searched_over(text, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        parsed(text)


def test_the_better_one_is_found_and_its_command_repeats_it(train):
    done = train(*SEARCH, EACH_ONCE, *GOOD_OR_NOT, *DAE)
    assert done.exit_code == 0, done.text
    best = study_of(done).best_trial
    assert best.params == {"dae.optimizer.lr": "0.001"}
    page = (done.place / "multirun/search/search.md").read_text()
    assert "# Search: 2 completed, 0 pruned, 0 failed" in page
    assert f"Best: {best.value:.4f}, trial {best.number}: " in page
    assert "too few completed trials to tell, 2 of at least 10" in page
    assert page in done.out
    (command,) = re.findall(r"the winner again +python train.py (.*)", done.out)
    again = train(*shlex.split(command), place="again")
    assert again.result["objective"]["value"] == best.value
    assert again.folder.parent.name == "outputs"


@pytest.mark.usefixtures("untrained")
def test_a_search_is_continued_to_its_total(train):
    """The same sampler seed would propose the same points."""
    first = train(*SEARCH, "hydra.sweeper.n_trials=2", RATE, *DAE)
    before = {folder: (folder / "result.json").stat().st_mtime_ns for folder in first.folders}
    assert len(before) == 2
    assert "2 of 2: lr-0." in first.out
    (command,) = re.findall(r"python train.py (-m .*)", first.out)
    assert "swept" not in command
    done = train(*shlex.split(command.replace("n_trials=2", "n_trials=4")))
    assert done.exit_code == 0
    assert "The search holds 2 trials already" in done.out
    assert states(done) == ["COMPLETE"] * 4
    assert len(done.folders) == 4, "no point was proposed twice"
    assert all((folder / "result.json").stat().st_mtime_ns == at for folder, at in before.items())


@pytest.mark.usefixtures("untrained")
def test_a_trial_that_was_cut_off_is_run_again(train, monkeypatch):
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dae.run.train_autoencoder", interrupted)
        done = train(*SEARCH, "hydra.sweeper.n_trials=1", RATE, *DAE)
    assert done.exit_code == 130
    assert states(done) == ["RUNNING"]
    done = train(*SEARCH, "hydra.sweeper.n_trials=2", RATE, *DAE)
    assert done.exit_code == 0
    assert states(done) == ["COMPLETE"] * 2
    assert len(done.folders) == 2, "in the same folder"
    # Killed after its job had ended, and before that was told.
    study = study_of(done)
    trial = study.ask()
    trial.set_user_attr("overrides", study.trials[0].user_attrs["overrides"])
    done = train(*SEARCH, "hydra.sweeper.n_trials=3", RATE, *DAE)
    assert [trial.value for trial in study_of(done).trials][2] == study.trials[0].value
    assert len(done.folders) == 2, "what has ended is taken as it is"


def test_a_hopeless_trial_is_pruned(train):
    """By the objective of stage 1, so that there is no stage 2."""
    both = [*SMOKE, "objective=dae/val/loss", "dae.epochs=3", "+hydra.sweeper.pruner.min_resource=1"]
    first = "hydra.sweeper.sampler.seed=1"  # the better point
    done = train(*SEARCH, EACH_ONCE, first, SHA, *GOOD_OR_NOT, *both)
    assert done.exit_code == 0, done.text
    pruned = states(done).index("PRUNED")
    folder = folder_of(done, pruned)
    assert torch.load(folder / "dae/last.ckpt")["epochs"] == 1
    assert not (folder / "classifier").exists()
    ended = result(folder)
    assert (ended["status"], ended["error"]) == ("pruned", None)
    assert ended["objective"]["value"] == pytest.approx(study_of(done).trials[pruned].value)
    assert not [name for name in ended["metrics"] if "/test/" in name]
    assert "Pruned after epoch 1: dae/val/loss" in done.logs
    assert ": pruned: dae/val/loss 0." in done.out
    assert "1 completed, 1 pruned, 0 failed" in done.out


@pytest.mark.usefixtures("untrained")
def test_a_failing_trial_does_not_end_the_search(train):
    wrong = [EACH_ONCE, "dae.noise.p=7,0.1", "dae.epochs=1", "hydra.sweeper.n_trials=2"]
    done = train(*SEARCH, *wrong, *DAE)
    assert done.exit_code == 1
    assert sorted(states(done)) == ["COMPLETE", "FAIL"]
    failed = folder_of(done, states(done).index("FAIL"))
    assert "dae.noise.p: found 7" in result(failed)["error"]
    assert f"1 of 2 jobs failed:\n  {failed.name}" in done.err
    again = train(*SEARCH, *wrong, *DAE)
    assert again.exit_code == 0
    assert sorted(states(again)) == ["COMPLETE", "FAIL"], "it would fail again"


@pytest.mark.usefixtures("untrained")
def test_keys_that_only_a_choice_has(train):
    """dropout has p, gaussian has std."""
    space = ["dae/noise=dropout,gaussian", "dae.noise.p=range(0.1,0.3,0.1)", "dae.noise.std=choice(0.5)"]
    done = train(*SEARCH, EACH_ONCE, *space, *DAE, "objective=dae/val/loss", "hydra.sweeper.n_trials=3")
    assert done.exit_code == 0, done.text
    points = [trial.params for trial in study_of(done).trials]
    assert len(points) == 3
    for expected in (
        {"dae/noise": "dropout", "dae.noise.p": 0.1},
        {"dae/noise": "dropout", "dae.noise.p": 0.2},
        {"dae/noise": "gaussian", "dae.noise.std": "0.5"},
    ):
        assert expected in points
    assert len(done.folders) == 3


@pytest.mark.long  # the same search as others here; README's line composes and checks it
def test_the_experiment(train):
    done = train("experiment=search", "hydra.sweeper.n_trials=1", *SMOKE)
    assert done.exit_code == 0
    assert len(done.folders) == 1
    (command,) = re.findall(r"python train.py (hydra.mode=RUN .*)", done.out)
    again = train(*shlex.split(command), place="again")
    assert again.exit_code == 0
    assert again.folder.parent.name == "outputs"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["hydra.sweeper.sampler._target_=optuna.samplers.TPE", RATE], "optuna.samplers.TPE"),
        (["hydra.sweeper.n_trials=0", RATE], "hydra.sweeper.n_trials: found 0"),
        (["dae.optimiser.lr=interval(0,1)"], "the nearest is dae.optimizer.lr"),
        (["dae/noise=dropout,gausian"], "try dae/noise=gaussian"),
        (["dae.noise.p=tag(log,interval(0,1))"], "low > 0"),
        (["seed=0,1"], "the luckiest seed"),
        (["stage=dae,both"], "one objective"),
        (["data=digits"], "there is nothing to search over"),
        (["data.validation=test", RATE], "try data.validation=5000"),
        (["objective=classifier/test/accuracy", RATE], "try objective=classifier/val/accuracy"),
        (["classifier.epochs=ten", RATE], "classifier.epochs: found 'ten', expected a valid integer"),
        (["classifier.epoch=10", RATE], "try classifier.epochs=10"),
    ],
)
def test_what_is_refused(train, arguments, words):
    done = train("-m", "hydra/sweeper=optuna", *arguments)
    assert done.exit_code == 2
    assert words in done.err
    assert "Traceback" not in done.text
    assert not list(done.place.iterdir())


def test_without_the_extra(train, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = train("-m", "hydra/sweeper=optuna", RATE)
    assert done.exit_code == 2
    assert "needs the package optuna" in done.err
    assert "pip install -e '.[tune]'" in done.err
    assert "Traceback" not in done.text
