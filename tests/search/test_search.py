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

from dae.sweeps.names import job_folder
from helpers import SMOKE, add_job
from outcome import Outcome

optuna = pytest.importorskip("optuna")

from optuna.distributions import (  # noqa: E402
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from dae.search.sampling import make_sampler  # noqa: E402
from dae.search.space import all_values, distribution, round_value  # noqa: E402

DAE = (*SMOKE, "stage=dae")
SEARCH = ("-m", "hydra/sweeper=optuna", "hydra.sweep.dir=multirun/search")
RATE = "dae.optimizer.lr=tag(log,interval(1e-4,1e-2))"
GOOD_OR_NOT = ("dae.optimizer.lr=1e-3,1e-9", "trainer.limit_train_batches=30")


def study_of(done: Outcome, storage: str = "multirun/search/study.db") -> Any:
    return optuna.load_study(study_name="search", storage=f"sqlite:///{done.place / storage}")


def states(done: Outcome) -> list[str]:
    return [trial.state.name for trial in study_of(done).trials]


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
        ("a=range(9,0,-4)", IntDistribution(1, 9, step=4)),
        ("a=range(0,0.35,0.1)", FloatDistribution(0, 0.3, step=0.1)),
        ("a=1,null,[3,4]", CategoricalDistribution(["1", "null", "[3,4]"])),
        ("a/b=choice(c,d)", CategoricalDistribution(["c", "d"])),
    ],
)
def test_hydras_sweeps_are_distributions(text, expected):
    assert parsed(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a=tag(sigma,interval(0,1))", "found the tag sigma, expected log"),
        ("a=tag(log,choice(1,2))", "log is for intervals"),
        ("a=tag(log,interval(0,1))", "low > 0"),
        ("a=range(3,3)", "the range is empty"),
    ],
)
def test_what_cannot_be_searched_over(text, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        parsed(text)


def test_listed():
    assert all_values(parsed("a=range(8,33,8)")) == [8, 16, 24, 32]
    assert all_values(parsed("a=range(0,0.5,0.1)")) == [0, 0.1, 0.2, 0.3, 0.4], "and not 0.30000000000000004"
    with pytest.raises(ValueError, match="no list"):
        all_values(parsed("a=interval(0,1)"))


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        (0.000123456789, "a=tag(log,interval(1e-5,1))", 0.000123),
        (0.123456789, "a=interval(0,0.6)", 0.123),
        (1000.123456789, "a=interval(1000,1001)", 1000.12),
        (0.00123449, "a=interval(0.00123446,1)", 0.00123446),
        (7, "a=int(interval(1,9))", 7),
    ],
)
def test_rounded(value, text, expected):
    assert round_value(value, parsed(text)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["tpe", "random", "cmaes"])
def test_every_sampler_searches_and_rounds(name):
    study = optuna.create_study(sampler=make_sampler(name, seed=0, parallel=False))
    study.optimize(lambda t: t.suggest_float("x", 0, 1) ** 2 + t.suggest_float("y", 1e-3, 1, log=True), 30)
    assert len({trial.params["x"] for trial in study.trials}) > 20
    for trial in study.trials:
        assert all(float(f"{value:.3g}") == value for value in trial.params.values())


def test_the_better_one_is_found_and_its_command_repeats_it(train):
    done = train(*SEARCH, "hydra.sweeper.n_trials=2", "hydra.sweeper.sampler=grid", *GOOD_OR_NOT, *DAE)
    assert done.exit_code == 0
    best = study_of(done).best_trial
    assert best.params == {"dae.optimizer.lr": "0.001"}
    page = (done.place / "multirun/search/search.md").read_text()
    assert "# Search: 2 completed, 0 pruned, 0 failed" in page
    assert f"Best: {best.value:.4f}, trial 0: " in page
    assert "2 completed trials are too few to tell" in page
    assert page in done.out
    (command,) = re.findall(r"the winner again +python train.py (.*)", done.out)
    again = train(*shlex.split(command), place="again")
    assert again.result["objective"]["value"] == best.value
    assert again.folder.parent.name == "outputs"


@pytest.mark.usefixtures("untrained")
def test_a_search_is_continued_to_its_total(train):
    """The same sampler seed would propose the same points."""
    sampler = "hydra.sweeper.sampler=random"
    first = train(*SEARCH, "hydra.sweeper.n_trials=2", sampler, RATE, *DAE)
    before = {folder: (folder / "result.json").stat().st_mtime_ns for folder in first.folders}
    assert len(before) == 2
    assert "2 of 2: lr-0." in first.out
    (command,) = re.findall(r"python train.py (-m .*)", first.out)
    assert "swept" not in command
    done = train(*shlex.split(command.replace("n_trials=2", "n_trials=4")))
    assert done.exit_code == 0
    assert "holds 2 trials already" in done.out
    assert len(done.folders) == 4
    assert all(re.fullmatch(r"lr-[\d.e-]+-[0-9a-f]{10}", folder.name) for folder in done.folders)
    assert states(done) == ["COMPLETE"] * 4, "no point was proposed twice"
    assert all((folder / "result.json").stat().st_mtime_ns == at for folder, at in before.items())
    assert len({trial.params["dae.optimizer.lr"] for trial in study_of(done).trials}) == 4


@pytest.mark.usefixtures("untrained")
def test_an_interrupted_trial_is_run_again(train, monkeypatch):
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dae.run.train_autoencoder", interrupted)
        done = train(*SEARCH, "hydra.sweeper.n_trials=1", RATE, *DAE)
    assert done.exit_code == 130
    assert states(done) == ["FAIL", "WAITING"]
    done = train(*SEARCH, "hydra.sweeper.n_trials=1", RATE, *DAE)
    assert done.exit_code == 0
    assert states(done) == ["FAIL", "COMPLETE"]
    assert done.result["status"] == "completed", "in the same folder"
    assert "1 completed, 0 pruned, 0 failed" in done.out


@pytest.mark.usefixtures("untrained")
def test_trials_of_a_search_that_died(train):
    """One had just ended, one had not, one is of another machine."""
    train(*SEARCH, "hydra.sweeper.n_trials=1", RATE, *DAE)
    here = train("--cfg", "job").place / "multirun/search"
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{here}/study.db")
    for rate, folder in ((0.001, here / "ended"), (0.002, here / "cut"), (0.003, Path("/elsewhere/job"))):
        study.enqueue_trial({"dae.optimizer.lr": rate})
        trial = study.ask()
        trial.suggest_float("dae.optimizer.lr", 1e-4, 1e-2, log=True)
        trial.set_user_attr("overrides", [*DAE, f"dae.optimizer.lr={rate}"])
        trial.set_user_attr("folder", str(folder))
    ended = add_job(here, status="completed", value=0.01, objective=("dae/val/noisy_loss", "min"))
    ended.rename(here / "ended")
    done = train(*SEARCH, "hydra.sweeper.n_trials=4", RATE, *DAE)
    assert states(done) == ["COMPLETE", "COMPLETE", "FAIL", "RUNNING", "COMPLETE"]
    trials = study_of(done).trials
    assert trials[1].value == 0.01
    assert trials[4].params == {"dae.optimizer.lr": 0.002}
    assert "left_out" in trials[2].user_attrs


def test_a_hopeless_trial_is_pruned(train):
    """By the objective of stage 1, so that there is no stage 2."""
    both = [*SMOKE, "objective=dae/val/loss", "dae.epochs=3"]
    grid = ["hydra.sweeper.sampler=grid", "hydra.sweeper.pruner=asha"]
    done = train(*SEARCH, *grid, *GOOD_OR_NOT, *both)
    assert done.exit_code == 0
    assert states(done) == ["COMPLETE", "PRUNED"]
    good, pruned = (Path(trial.user_attrs["folder"]) for trial in study_of(done).trials)
    assert torch.load(good / "dae/last.ckpt")["epochs"] == 3
    assert torch.load(pruned / "dae/last.ckpt")["epochs"] == 1
    assert (good / "classifier").exists()
    assert not (pruned / "classifier").exists()
    ended = result(pruned)
    assert ended["status"] == "pruned"
    assert ended["error"] is None
    assert ended["objective"]["value"] == pytest.approx(study_of(done).trials[1].value)
    assert not [name for name in ended["metrics"] if "/test/" in name]
    assert "Pruned after epoch 1: dae/val/loss" in done.logs
    assert ": pruned: dae/val/loss 0." in done.out
    assert "1 completed, 1 pruned, 0 failed" in done.out


def test_only_the_stage_of_the_objective_is_watched(train):
    sizes = ["dae.epochs=2", "classifier.epochs=3", "trainer.check_val_every_n_epoch=1"]
    done = train(*SEARCH, "hydra.sweeper.n_trials=1", RATE, *SMOKE, *sizes)
    (trial,) = study_of(done).trials
    assert list(trial.intermediate_values) == [1, 2, 3]
    assert trial.value == max(trial.intermediate_values.values())


def test_by_the_probe_without_a_stage_2(train):
    probe = ["callbacks=probe", "objective=dae/val/probe_accuracy", "dae.epochs=2"]
    done = train(*SEARCH, "hydra.sweeper.n_trials=1", "hydra.sweeper.pruner=asha", RATE, *DAE, *probe)
    assert done.exit_code == 0, done.text
    (trial,) = study_of(done).trials
    assert list(trial.intermediate_values) == [1, 2]
    assert trial.value == max(trial.intermediate_values.values())


@pytest.mark.usefixtures("untrained")
def test_a_failing_trial_does_not_end_the_search(train):
    grid = ["hydra.sweeper.sampler=grid", "dae.noise.p=7,0.1", "dae.epochs=1"]
    done = train(*SEARCH, *grid, *DAE)
    assert done.exit_code == 1
    assert states(done) == ["FAIL", "COMPLETE"]
    failed = Path(study_of(done).trials[0].user_attrs["folder"])
    assert "dae.noise.p: found 7" in result(failed)["error"]
    assert f"1 of 2 jobs failed:\n  {failed.name}" in done.err
    again = train(*SEARCH, *grid, *DAE)
    assert again.exit_code == 0
    assert states(again) == ["FAIL", "COMPLETE"], "it would fail again"


def test_a_diverged_trial_is_a_failure(train):
    done = train(*SEARCH, "hydra.sweeper.sampler=grid", "dae.optimizer.lr=1e30,1e-3", *DAE)
    assert states(done) == ["FAIL", "COMPLETE"]
    assert done.exit_code == 1


@pytest.mark.usefixtures("untrained")
def test_a_grid_and_keys_that_only_a_choice_has(train):
    """dropout has p, gaussian has std."""
    space = ["dae/noise=dropout,gaussian", "dae.noise.p=range(0.1,0.3,0.1)", "dae.noise.std=choice(0.5)"]
    grid = [*SEARCH, "hydra.sweeper.sampler=grid", *space, *DAE, "objective=dae/val/loss"]
    first = train(*grid, "hydra.sweeper.n_trials=1")
    assert len(first.folders) == 1
    done = train(*grid, "hydra.sweeper.n_trials=9")
    assert done.exit_code == 0
    assert [trial.params for trial in study_of(done).trials] == [
        {"dae/noise": "dropout", "dae.noise.p": 0.1},
        {"dae/noise": "dropout", "dae.noise.p": 0.2},
        {"dae/noise": "gaussian", "dae.noise.std": "0.5"},
    ]
    assert len(done.folders) == 3
    assert "is measured on the clean input, so ranking" in done.out


@pytest.mark.usefixtures("untrained")
def test_two_machines_on_one_study(train):
    shared = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.storage=sqlite:///shared.db", RATE, *DAE]
    train(*shared, "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=2", "hydra.sweep.dir=multirun/a")
    done = train(*shared, "hydra.sweeper.n_trials=3", "hydra.sweep.dir=multirun/b")
    assert len(study_of(done, "shared.db").trials) == 3
    assert [folder.parent.name for folder in done.folders] == ["a", "a", "b"]


def test_a_job_is_the_same_as_without_a_search(train):
    done = train(*SEARCH, "hydra.sweeper.n_trials=1", "hydra.sweeper.pruner=median", RATE, *DAE)
    (trial,) = study_of(done).trials
    overrides = trial.user_attrs["overrides"]
    assert done.folder.name == job_folder(overrides, ["dae.optimizer.lr"])
    alone = train(*overrides, place="alone")
    assert (alone.folder / "config.yaml").read_text() == (done.folder / "config.yaml").read_text()
    assert alone.result["metrics"] == done.result["metrics"]


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
        (["hydra.sweeper.sampler=tpee", RATE], "try hydra.sweeper.sampler=tpe"),
        (["hydra.sweeper.n_trials=0", RATE], "hydra.sweeper.n_trials: found 0"),
        (["hydra.sweeper.storage=nowhere", RATE], "hydra.sweeper.storage: nowhere cannot be opened"),
        (["hydra.sweeper.sampler=grid", RATE], "a grid needs a list of values"),
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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-m", RATE], "try -m hydra/sweeper=optuna"),
        ([RATE], "try -m hydra/sweeper=optuna"),
        (["-m", "experiment=search,notebook"], "try it alone: experiment=search"),
    ],
)
def test_what_is_no_search(train, arguments, words):
    done = train(*arguments)
    assert done.exit_code == 2
    assert words in done.err
    assert not list(done.place.iterdir())


@pytest.mark.parametrize("package", ["optuna", "cmaes"])
def test_without_the_extra(train, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    done = train("-m", "hydra/sweeper=optuna", RATE)
    assert done.exit_code == 2
    assert f"needs the package {package}" in done.err
    assert "pip install -e '.[tune]'" in done.err
    assert "Traceback" not in done.text


@pytest.mark.usefixtures("untrained")
def test_a_small_space_is_exhausted_and_what_is_not_comparable_is_not_mixed(train):
    three = ["hydra.sweeper.n_trials=3", "dae.noise.p=0.1,0.2", *DAE]
    done = train(*SEARCH, *three)
    assert done.exit_code == 0
    assert len(done.folders) == 2
    assert "the space seems exhausted" in done.out
    assert "2 completed, 0 pruned, 0 failed" in done.out
    for change in ("dae.noise.p=0.1,0.3", "objective=dae/val/psnr"):
        done = train(*SEARCH, *three, change)
        assert done.exit_code == 2
        assert "another hydra.sweeper.study_name than search is another search" in done.err
    done = train(*SEARCH, *three, "dae.epochs=2", "hydra.sweeper.n_trials=2")
    assert "ran with [], the next ones run with ['dae.epochs=2']" in done.out
