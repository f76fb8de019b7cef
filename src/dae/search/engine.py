"""A search: asks Optuna for points, has the launcher run them, and reports their results to Optuna.

The study holds the state: a search that is continued finds its trials there, whichever process ran them. The
outcome of a trial is read from its ``result.json``, whether its job has just ended or the search was cut off.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import optuna
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf, open_dict
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from dae import metrics
from dae.config import arms
from dae.config.preflight import find_problems, resolve_auto
from dae.errors import ConfigError, JobError, Problem, raise_problems
from dae.files import write_text_atomically
from dae.runs.folder import InUseError, lock, owner_of
from dae.runs.process import sweep_log
from dae.runs.records import read_or_empty, read_result
from dae.schema import problems
from dae.search.findings import findings_text, is_left_out
from dae.search.space import Space
from dae.search.study import SearchSettings, open_study
from dae.text import path_from_here, pluralize
from dae.training.devices import device_count

# So many repeated proposals in a row mean that the space is exhausted.
REPEATS = 50
# In the sweep's folder: what the one search there owns.
OWNED = ".search"


def search(arguments: Sequence[str], config: DictConfig, launcher: Launcher, loader: ConfigLoader) -> None:
    """Search until the study holds ``n_trials`` trials, then print the findings.

    Args:
        arguments: The overrides of the command, without those of Hydra itself.
        config: The sweep's.
        launcher: Runs a batch of jobs.
        loader: Composes the config of a job.

    Raises:
        ConfigError: The command is refused; nothing was created.
        JobError: Trials failed.
    """
    node = cast(dict[str, Any], OmegaConf.to_container(config.hydra.sweeper, resolve=True))
    del node["_target_"]
    raise_problems(problems(SearchSettings, node, "hydra.sweeper"))
    settings = SearchSettings(**node)
    own = [f"{key}={value}" for key, value in settings.params.items()]
    parsed = OverridesParser.create(config_loader=loader).parse_overrides([*own, *arguments])
    space = Space(parsed, loader, config)
    raise_problems(
        Problem(key, "a grid needs a list of values", f"try '{key}=range(...)', or hydra.sweeper.sampler=tpe")
        for key, values in space.dimensions.items()
        if settings.sampler == "grid" and isinstance(values, FloatDistribution) and values.step is None
    )
    objective = find_objective(space)
    if device_count(space.first().trainer) > 1 and settings.pruner != "none":
        what = (
            f"found {settings.pruner}, but a run on several devices is not given up by one of its processes"
        )
        raise ConfigError([Problem("hydra.sweeper.pruner", what, "try hydra.sweeper.pruner=none")])
    folder = Path(config.hydra.sweep.dir).absolute()
    if settings.storage is None:
        _claim(folder)
    study = open_study(settings, space, objective, folder)
    _claim(folder)  # not before a storage elsewhere is known to be there: what is refused makes no folder
    OmegaConf.save(config, folder / "multirun.yaml")
    _Search(settings, space, objective, folder, study, launcher).run()


def _claim(folder: Path) -> None:
    """Have no second search in this folder: it would take a trial that is about to begin for one cut off.

    Raises:
        ConfigError: There is one already.
    """
    try:
        lock(folder / OWNED)
    except InUseError as error:
        hint = "wait until it has ended; several jobs at once: hydra/launcher=joblib hydra.sweeper.n_jobs=2"
        what = f"a search is going on here: {error.owner}"
        raise ConfigError([Problem(path_from_here(folder), what, hint)]) from error


def find_objective(space: Space) -> metrics.Metric:
    """The metric that all trials are judged by.

    Raises:
        ConfigError: The config is wrong for every point, or the search would choose on the test set.
    """
    config = copy.deepcopy(space.first())
    with open_dict(config):
        del config["hydra"]
    searched = space.dimensions.keys()
    raise_problems(
        [problem for problem in find_problems(resolve_auto(config)) if problem.where not in searched]
    )
    if config.stage == "data":
        what = "a search judges what was trained, and stage=data trains nothing"
        raise ConfigError([Problem("stage", what, "try stage=both")])
    stages, denoising = arms.stages_to_run(config), arms.is_denoising(config)
    objective = metrics.objective(config.objective, stages, denoising, config.callbacks)
    what = "a search would choose on the test set"
    if "/test/" in objective.name:
        advice = f"try objective={objective.name.replace('/test/', '/val/')}"
        raise ConfigError([Problem("objective", what, advice)])
    if config.data.validation == "test":
        raise ConfigError([Problem("data.validation", what, "try data.validation=5000")])
    return objective


@dataclass
class _Search:
    settings: SearchSettings
    space: Space
    objective: metrics.Metric
    folder: Path
    study: optuna.Study
    launcher: Launcher

    def run(self) -> None:
        """Run trials until their total is reached."""
        self._settle(interrupted=True)
        self._drop_unborn()
        earlier = len(self._counted())
        if earlier:
            held = pluralize(earlier, "trial")
            sweep_log.info("The study %s holds %s already", self.study.study_name, held)
        if self.settings.sampler == "grid":
            self._enqueue_grid()
        failed = 0
        try:
            while batch := self._next_batch():
                first = min(trial.number for trial in batch)
                self.launcher.launch([self._job(trial) for trial in batch], initial_job_idx=first)
                failed += self._settle(interrupted=False)
        finally:
            self._settle(interrupted=True)
            text = findings_text(self.study)
            write_text_atomically(self.folder / "search.md", text)
            sweep_log.info("%s", text)
        if failed:
            raise JobError

    def _counted(self, *states: TrialState) -> list[FrozenTrial]:
        """The trials that a job has run or is running; not those that went back to the queue."""
        trials = self.study.get_trials(deepcopy=False, states=states or None)
        return [trial for trial in trials if "folder" in trial.user_attrs and not is_left_out(trial)]

    def _waiting(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=[TrialState.WAITING])

    def _next_batch(self) -> list[Trial]:
        batch: list[Trial] = []
        wanted = self.settings.n_trials - len(self._counted())
        while len(batch) < min(self.settings.n_jobs, wanted):
            trial = self._ask()
            if trial is None:
                break
            batch.append(trial)
        return batch

    def _ask(self) -> Trial | None:
        """The next trial whose point is new; None if the space is exhausted."""
        for _ in range(REPEATS):
            if self.settings.sampler == "grid" and not self._waiting():
                return None
            trial = self.study.ask()
            point = self.space.draw(trial._suggest)
            if all(point != other.params for other in self._counted() if other.number != trial.number):
                overrides = self.space.overrides(point)
                trial.set_user_attr("overrides", overrides)
                trial.set_user_attr("folder", str(self._job_folder(trial.number, overrides)))
                return trial
            self._leave_out(trial.number, "a repetition")
        sweep_log.info("%d proposals in a row were there already: the space seems exhausted", REPEATS)
        return None

    def _enqueue_grid(self) -> None:
        waiting = [trial.system_attrs["fixed_params"] for trial in self._waiting()]
        known = [*waiting, *(trial.params for trial in self._counted())]
        new = [point for point in self.space.grid() if point not in known]
        for point in new[: max(0, self.settings.n_trials - len(known))]:
            self.study.enqueue_trial(point)

    def _job_folder(self, number: int, overrides: list[str]) -> Path:
        """The folder that the launcher will run the job in."""
        config = self.space.compose(overrides)
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        return self.folder / config.hydra.sweep.subdir

    def _job(self, trial: Trial) -> list[str]:
        """The overrides of a job.

        The one below ``hydra`` appears neither in the name of its folder nor in its config.
        """
        return [*trial.user_attrs["overrides"], f"hydra.sweeper.trial={trial._trial_id}"]

    def _settle(self, interrupted: bool) -> int:
        """Report the results of this folder's jobs to the study.

        Args:
            interrupted: What it means if a job has no result: True, it was cut off and its point will run
                again; False, it failed before it could write one.

        Returns:
            How many jobs have failed.
        """
        failed = 0
        for trial in self._counted(TrialState.RUNNING):
            folder = trial.user_attrs["folder"]
            if not Path(folder).is_relative_to(self.folder):
                continue  # the job of another machine
            if owner_of(Path(folder)):
                continue  # another process is running it
            result = read_or_empty(read_result, Path(folder))
            status, value = result.get("status"), result.get("metrics", {}).get(self.objective.name)
            if status == "completed" and value is not None:
                self.study.tell(trial.number, value)
            elif status == "pruned":
                self.study.tell(trial.number, state=TrialState.PRUNED)
            elif status == "failed" or (status != "interrupted" and not interrupted):
                self.study.tell(trial.number, state=TrialState.FAIL)
                failed += 1
            else:
                # In this order: killed in between, a search asks for the point twice and runs it once.
                self.study.enqueue_trial(trial.params)
                self._leave_out(trial.number, "interrupted")
        return failed

    def _drop_unborn(self) -> None:
        """End the trials of a search that was killed between asking for a point and giving it to a job.

        In a storage of several machines another one may just be between the two: it has a minute.
        """
        alone = self.settings.storage is None
        latest = datetime.now() - (timedelta(0) if alone else timedelta(minutes=1))
        for trial in self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            started = trial.datetime_start
            if "folder" not in trial.user_attrs and started is not None and started <= latest:
                waited = trial.system_attrs.get("fixed_params")  # it had been in the queue
                if waited:
                    self.study.enqueue_trial(waited)
                self._leave_out(trial.number, "interrupted")

    def _leave_out(self, number: int, why: str) -> None:
        trial_id = self.study.get_trials(deepcopy=False)[number]._trial_id
        self.study._storage.set_trial_user_attr(trial_id, "left_out", why)
        self.study.tell(number, state=TrialState.FAIL)
