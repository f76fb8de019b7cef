"""A sweep and a search lie where Hydra says, whatever the path, and nothing of them is lost."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any, ClassVar

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from dae.errors import ConfigError, UserError
from dae.metrics import Metric
from dae.search.engine import _Search
from dae.search.sampling import CmaEs
from dae.search.study import SearchSettings, open_storage, open_study
from dae.sweeps.layout import subfolder_problems
from dae.sweeps.shared import stage1_folder
from helpers import begin_job

LOSS = Metric("dae/val/loss", "min")
SEARCH: dict[str, Any] = {
    "sampler": "random",
    "seed": 0,
    "pruner": "none",
    "grace": 1,
    "study_name": "search",
    "trial": None,
}


class AnySpace:
    dimensions: ClassVar[dict[str, Any]] = {}
    fixed: ClassVar[list[str]] = []


def study_in(folder: Path, storage: str | None = None) -> tuple[SearchSettings, optuna.Study]:
    settings = SearchSettings(params={}, n_trials=9, n_jobs=1, storage=storage, **SEARCH)
    return settings, open_study(settings, AnySpace(), LOSS, folder)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["s?1", "s#%20{x}", "file: sü'1"])
def test_a_study_lies_in_its_folder_whatever_that_is_called(tmp_path, name):
    _, study = study_in(tmp_path / name)
    study.add_trial(optuna.trial.create_trial(value=1.0))
    assert (tmp_path / name / "study.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert len(study_in(tmp_path / name)[1].trials) == 1
    assert study_in(tmp_path / "another?1")[1].trials == []


def test_a_trial_whose_search_was_killed_before_its_job_began_is_given_up_and_its_point_kept(tmp_path):
    settings, study = study_in(tmp_path)
    study.enqueue_trial({"dae.noise.p": 0.3})
    study.ask()  # and here it is killed
    study.ask()
    search = _Search(settings, AnySpace(), LOSS, tmp_path, study, None)  # type: ignore[arg-type]
    search._drop_unborn()
    assert [trial.state for trial in study.trials[:2]] == [TrialState.FAIL, TrialState.FAIL]
    (waiting,) = search._waiting()
    assert waiting.system_attrs["fixed_params"] == {"dae.noise.p": 0.3}
    assert search._counted() == []


def test_a_trial_that_another_machine_is_just_asking_for_is_left_alone(tmp_path):
    shared = f"sqlite:///{tmp_path}/shared.db"
    settings, study = study_in(tmp_path / "mine", shared)
    study.ask()
    _Search(settings, AnySpace(), LOSS, tmp_path, study, None)._drop_unborn()  # type: ignore[arg-type]
    assert study.trials[0].state == TrialState.RUNNING


def test_an_url_of_a_storage_is_taken_as_it_is(tmp_path):
    assert open_storage("sqlite:///x.db", tmp_path) == "sqlite:///x.db"


class Makes:
    """A folder, when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def test_the_state_of_cmaes_is_data_though_it_is_a_pickle(tmp_path):
    pytest.importorskip("cmaes")
    sampler = CmaEs(seed=0, warn_independent_sampling=False)
    study = optuna.create_study(sampler=sampler)
    values = {key: FloatDistribution(0, 1) for key in "ab"}
    for _ in range(9):
        trial = study.ask(values)
        study.tell(trial, sum(trial.params.values()))
    assert sampler._restore_optimizer(study.trials).generation > 0
    evil = {f"{sampler._attr_key_optimizer}:0": pickle.dumps(Makes(tmp_path / "PWNED")).hex()}
    foreign = optuna.trial.create_trial(value=1.0, system_attrs=evil)
    with pytest.raises(UserError, match=r"the study names posix\.mkdir"):
        sampler._restore_optimizer([*study.trials, foreign])
    assert not (tmp_path / "PWNED").exists()


@pytest.mark.parametrize("damage", ["bytes", "fixed"])
def test_a_damaged_study_is_told(tmp_path, damage):
    _, study = study_in(tmp_path)
    study.add_trial(optuna.trial.create_trial(value=1.0))
    if damage == "fixed":
        study.set_user_attr("fixed", 5)
    else:
        file = tmp_path / "study.db"
        content = file.read_bytes()
        file.write_bytes(content[:4096] + bytes(len(content) - 4096))
    with pytest.raises(ConfigError, match=r"study\.db cannot be opened: "):
        study_in(tmp_path)


def test_a_shared_stage_1_whose_digest_is_no_text_is_another(tmp_path):
    job = begin_job(tmp_path, "seed=0")
    folder = stage1_folder(tmp_path, job, "0123456789ab")
    (folder / "digest").write_bytes(b"\xff\xfe")
    assert stage1_folder(tmp_path, job, "0123456789ab") != folder


@pytest.mark.parametrize("name", ["multirun.yaml", "study.db", "job/.hydra", "job/dae", "stage1"])
def test_a_sweep_writes_nothing_where_a_link_leads(train, tmp_path, name):
    mine, sweep = tmp_path / "mine", tmp_path / "sweep"
    mine.mkdir()
    (sweep / name).parent.mkdir(parents=True)
    (sweep / name).symlink_to(mine / "file" if "." in name[1:] and "/" not in name else mine)
    done = train("-m", "stage=data", "data=digits", "seed=0,1", f"hydra.sweep.dir={sweep}")
    assert done.exit_code == 2
    assert f"{name}: leads out of the run folder, to {mine}" in done.err
    assert [*mine.iterdir()] == []


def test_a_run_writes_nothing_where_a_link_leads(train, tmp_path):
    mine, folder = tmp_path / "mine", tmp_path / "run"
    mine.mkdir()
    folder.mkdir()
    (folder / "data").symlink_to(mine)  # is nothing that a run writes to
    (folder / ".hydra").symlink_to(mine)
    done = train("stage=data", "data=digits", f"hydra.run.dir={folder}")
    assert done.exit_code == 2
    assert ".hydra: leads out of the run folder" in done.err
    assert "run/data: " not in done.err
    assert [*mine.iterdir()] == []


@pytest.mark.parametrize(("subdir", "right"), [("p-1", True), ("a/p-1", False), (".", False), ("..", False)])
def test_a_job_lies_directly_in_its_sweep(subdir, right):
    assert (not list(subfolder_problems(subdir))) == right


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("hydra.output_subdir=null", "hydra.output_subdir: found None, but a sweep knows its jobs by"),
        (
            "hydra.sweep.subdir=a/${seed}",
            "hydra.sweep.subdir: found a/0, but the jobs of a sweep lie side by side",
        ),
        ("hydra.sweep.subdir=.", "hydra.sweep.subdir: found ., but the jobs of a sweep lie side by side"),
    ],
)
def test_a_sweep_whose_jobs_would_not_be_found_is_refused(train, override, words):
    done = train("-m", "stage=data", "data=digits", "seed=0,1", override)
    assert done.exit_code == 2
    assert words in done.err
    assert "Traceback" not in done.text
    assert not (done.place / "multirun").exists()


def test_a_folder_that_only_a_job_knows_is_refused_by_the_job(train):
    done = train("-m", "stage=data", "data=digits", "seed=0,1", "hydra.sweep.subdir=a/${hydra.job.num}")
    assert done.exit_code == 1
    assert "found a/0, but the jobs of a sweep lie side by side" in done.logs
    assert "2 of 2 jobs failed" in done.err
