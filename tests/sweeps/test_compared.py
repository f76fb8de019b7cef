"""Which comparison a sweep is asked for, and which is refused."""

from __future__ import annotations

import shlex

import pytest
from omegaconf import OmegaConf

from dae.sweeps.commands import next_commands
from dae.sweeps.compared import asked_comparison, comparison_problems, given_values, single_run_problems
from dae.sweeps.leaderboard import read_board
from helpers import SMOKE, add_job, write_job, write_multirun

ARMS = "pretraining=none,denoising"


def config(*task, params=None, compare=None, **sweeper):
    hydra = {"sweeper": {"params": params, **sweeper}, "overrides": {"task": list(task)}}
    return OmegaConf.create({"hydra": hydra, "compare": compare})


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        (config("compare=pretraining", ARMS), "pretraining"),
        (config(ARMS, compare="pretraining"), "pretraining"),
        (config(params={"compare": "dae/noise", "dae/noise": "mask,dropout"}), "dae/noise"),
        (config("compare=null", ARMS, compare="pretraining"), None),
        (config(ARMS), None),
    ],
)
def test_it_may_be_typed_or_stand_in_an_experiment(asked, key):
    assert asked_comparison(asked) == key
    assert not list(comparison_problems(asked))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (config(compare="pretraining"), "there is one job, and nothing to compare it with"),
        (config("compare=pretraining", "pretraining=none"), "there is one job"),
        (config("compare=seed", ARMS, "seed=0,1"), "expected one of the swept keys pretraining\n"),
        (config("compare=seed", "seed=0,1"), "expected a key with several values\n"),
        (config("compare=pretrain", ARMS), "try compare=pretraining"),
        (config("compare=classifier", ARMS, "+a=1,2"), "expected one of the swept keys pretraining, a\n"),
        (config("compare=pretraining,classifier", ARMS), "pretraining,classifier has not several values"),
        (config("compare=pretraining", ARMS, sampler="tpe"), "a search draws its values"),
    ],
)
def test_what_cannot_be_compared(asked, words):
    (problem,) = comparison_problems(asked)
    assert words in str(problem)


def test_what_an_experiment_compares_is_no_hindrance_to_one_job_of_it():
    assert not list(single_run_problems(config("experiment=study", compare="pretraining")))
    assert not list(single_run_problems(config("compare=null")))
    (problem,) = single_run_problems(config("data=digits", "compare=pretraining", compare="pretraining"))
    assert "there is one job" in str(problem)
    arms = "compare=pretraining pretraining=none,plain,denoising seed=0,1,2"
    assert f"try python train.py -m data=digits {arms}" in str(problem)


def test_the_seeds_of_a_winner_are_run_without_the_comparison_of_their_experiment(tmp_path):
    write_multirun(tmp_path, ["experiment=study", "compare=dae/noise", "dae/noise=none,mask"])
    for noise in ("none", "mask"):
        for seed in range(2):
            add_job(tmp_path, "experiment=study", f"dae/noise={noise}", f"seed={seed}", value=0.5)
    words = shlex.split(next_commands(read_board(tmp_path))["with all its seeds"])
    assert words[-2:] == ["seed=0,1", "compare=null"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["compare=pretraining"],
            "callbacks=none compare=pretraining pretraining=none,plain,denoising seed=",
        ),
        (["-m", "compare=dae.noise.p", "seed=0,1"], "dae.noise.p has not several values in this sweep"),
    ],
)
def test_a_refused_command_leaves_nothing_behind(train, arguments, words):
    done = train(*arguments, *SMOKE)
    assert done.exit_code == 2
    assert words in done.err
    assert not list(done.place.iterdir())


def test_the_values_keep_the_order_of_the_command(tmp_path):
    write_multirun(
        tmp_path, ["+pretraining=plain,none", "seed=range(2,0,-1)", "dae/noise=glob(*)", "data=digits"]
    )
    assert given_values(tmp_path, "pretraining") == ("plain", "none")
    assert given_values(tmp_path, "seed") == ("2", "1")
    assert given_values(tmp_path, "dae/noise") == given_values(tmp_path, "data") == ()
    assert given_values(tmp_path / "nowhere", "seed") == ()


def test_commands_of_single_jobs_compare_nothing(tmp_path):
    task = ["compare=pretraining", ARMS, "seed=0,1"]
    write_multirun(tmp_path, task)
    for seed in range(2):
        for arm in ("none", "denoising"):
            add_job(
                tmp_path, "compare=pretraining", f"pretraining={arm}", f"seed={seed}", value=0.5 + seed / 10
            )
    found = next_commands(read_board(tmp_path))
    assert "compare" not in found["the winner again"] + found["with all its seeds"]
    assert shlex.split(found["continue or extend"])[-3:] == task
    assert "compare" not in found, "it is compared already"


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        (("classifier", "pretraining"), "pretraining"),
        (("classifier.encoder", "dae.epochs"), "classifier.encoder"),
        (("dae.epochs",), None),
    ],
)
def test_a_sweep_over_arms_ends_with_the_command_that_compares_them(tmp_path, monkeypatch, keys, key):
    monkeypatch.chdir(tmp_path)
    sweep = tmp_path / "my sweep"
    for number in range(2):
        add_job(sweep, *(f"{name}={number}" for name in keys), value=0.5)
    command = next_commands(read_board(sweep)).get("compare")
    assert command == (key and f"dae leaderboard 'my sweep' --compare {key}")
    write_multirun(sweep, [])
    hydra = (sweep / "multirun.yaml").read_text()
    (sweep / "multirun.yaml").write_text(f"{hydra}  sweeper: {{sampler: tpe}}\n")
    assert "compare" not in next_commands(read_board(sweep)), "a search has no pairs"


def test_the_name_of_a_job_does_not_change_with_what_is_compared(tmp_path):
    folder = write_job(tmp_path / "a", "compare=seed", "seed=0", "hydra.mode=RUN")
    assert read_board(tmp_path).jobs[0].overrides == ("seed=0",)
    assert folder.is_dir()
