"""A search: asks Optuna for points, has the launcher run them, and reports their results to Optuna.

The study is a journal in the sweep's folder. A trial that a search has left running, since it was cut off, is
run again when the search is continued: its job goes on where it was.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import optuna
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict
from optuna.distributions import check_distribution_compatibility
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState
from pydantic import PositiveInt, with_config
from typing_extensions import TypedDict

from dae import metrics
from dae.config.preflight import find_problems, resolve_auto
from dae.config.settings import Node, objective_of
from dae.errors import ConfigError, JobError, Problem, raise_problems, with_place
from dae.files import write_text_atomically
from dae.runs.folder import lock
from dae.runs.process import sweep_log
from dae.runs.records import read_or_empty, read_result
from dae.schema import STRICT, problems
from dae.search.space import Space
from dae.text import pluralize, printable
from dae.training.devices import device_count

STUDY = "search"  # of the study; of what its owner locks, behind a point
# With fewer completed trials, no importance of a key can be computed.
ENOUGH = 10


@with_config(STRICT)
class SearchSettings(TypedDict):
    """``conf/hydra/sweeper/optuna.yaml``, where each key is explained."""

    params: dict[str, Any]
    n_trials: PositiveInt
    n_jobs: PositiveInt
    sampler: Node
    pruner: Node
    trial: Annotated[int, "of a job"] | None


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
    settings = cast(dict[str, Any], OmegaConf.to_container(config.hydra.sweeper, resolve=True))
    del settings["_target_"], settings["_recursive_"]
    raise_problems(problems(SearchSettings, settings, "hydra.sweeper"))
    own = [f"{key}={value}" for key, value in settings["params"].items()]
    parsed = OverridesParser.create(config_loader=loader).parse_overrides([*own, *arguments])
    space = Space(parsed, loader, config)
    objective = find_objective(space)
    folder = Path(config.hydra.sweep.dir).absolute()
    study = open_study(settings, objective, folder, space)
    OmegaConf.save(config, folder / "multirun.yaml")
    cut_off = [Trial(study, trial._trial_id) for trial in study.get_trials(states=[TrialState.RUNNING])]
    if ended := len(study.trials) - len(cut_off):
        sweep_log.info("The search holds %s already", pluralize(ended, "trial"))
    failed = 0
    try:
        while not study._stop_flag and (batch := _next_batch(study, settings, cut_off)):
            jobs = []
            for trial in batch:
                overrides = trial.user_attrs.get("overrides") or space.overrides(trial)
                trial.set_user_attr("overrides", overrides)
                # The one below ``hydra`` appears neither in the name of its folder nor in its config.
                jobs.append([*overrides, f"hydra.sweeper.trial={trial._trial_id}"])
            done = launcher.launch(jobs, initial_job_idx=batch[0].number)
            failed += sum(map(lambda trial, job: _tell(study, trial, job, objective), batch, done))
    finally:
        text = findings_text(study)
        write_text_atomically(folder / "search.md", text)
        sweep_log.info("%s", text)
    if failed:
        raise JobError


def open_study(
    settings: dict[str, Any], objective: metrics.Metric, folder: Path, space: Space
) -> optuna.Study:
    """The study in a folder, a new one or one to be continued; nobody else searches there.

    Raises:
        ConfigError: A search is going on there, the sampler cannot be built, or its trials cannot be compared
            with those to come.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            sampler, pruner = instantiate(settings["sampler"]), instantiate(settings["pruner"])
    except Exception as error:  # whatever Optuna says to its arguments
        raise ConfigError([Problem("hydra.sweeper", with_place(error.__cause__ or error))]) from error
    lock(folder / f".{STUDY}")
    study = optuna.create_study(
        study_name=STUDY,
        storage=storage(folder),
        sampler=sampler,
        pruner=pruner,
        direction="minimize" if objective.mode == "min" else "maximize",
        load_if_exists=True,
    )
    judged = study.user_attrs.get("objective", objective.name)
    advice = "another hydra.sweep.dir is another search"
    if judged != objective.name:
        what = f"found {objective.name}, but the search is judged by {judged}"
        raise ConfigError([Problem("objective", what, advice)])
    earlier = {key: values for trial in study.trials for key, values in trial.distributions.items()}
    for key in space.dimensions.keys() & earlier.keys():
        try:
            check_distribution_compatibility(earlier[key], space.dimensions[key])
        except ValueError as error:
            raise ConfigError([Problem(key, f"was searched over otherwise: {error}", advice)]) from error
    study.set_user_attr("objective", objective.name)
    study._thread_local.in_optimize_loop = True  # a sampler that has proposed all points may stop the study
    if study.trials:  # the same seed would propose the same points
        study.sampler.reseed_rng()
    return study


def storage(folder: Path) -> JournalStorage:
    """The journal of the study in a folder."""
    return JournalStorage(JournalFileBackend(str(folder / "study.journal")))


def attach_trial(sweeper: DictConfig, folder: Path) -> Trial:
    """The trial that belongs to a job, in the job's own process.

    Args:
        sweeper: The job's ``hydra.sweeper``.
        folder: The sweep's.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(study_name=STUDY, storage=storage(folder), pruner=instantiate(sweeper.pruner))
    return Trial(study, sweeper.trial)


def find_objective(space: Space) -> metrics.Metric:
    """The metric that all trials are judged by.

    Raises:
        ConfigError: The config is wrong for every point, or the search would choose on the test set.
    """
    config = copy.deepcopy(space.compose())
    pruner = str(config.hydra.sweeper.pruner._target_)
    with open_dict(config):
        del config["hydra"]
    found = find_problems(resolve_auto(config))
    raise_problems(problem for problem in found if problem.where not in space.dimensions)
    if config.stage == "data":
        what = "a search judges what was trained, and stage=data trains nothing"
        raise ConfigError([Problem("stage", what, "try stage=both")])
    objective, what = objective_of(config), "a search would choose on the test set"
    if "/test/" in objective.name:
        advice = f"try objective={objective.name.replace('/test/', '/val/')}"
        raise ConfigError([Problem("objective", what, advice)])
    if config.data.validation == "test":
        raise ConfigError([Problem("data.validation", what, "try data.validation=5000")])
    if device_count(config.trainer) > 1 and not pruner.endswith("NopPruner"):
        what = "a run on several devices is not given up by one of its processes"
        hint = "try hydra.sweeper.pruner._target_=optuna.pruners.NopPruner"
        raise ConfigError([Problem("hydra.sweeper.pruner", what, hint)])
    return objective


def _next_batch(study: optuna.Study, settings: dict[str, Any], cut_off: list[Trial]) -> list[Trial]:
    """The trials that were cut off, then new ones; none where there are as many as wanted."""
    batch = [cut_off.pop(0) for _ in range(min(len(cut_off), settings["n_jobs"]))]
    while len(batch) < settings["n_jobs"] and len(study.trials) < settings["n_trials"]:
        batch.append(study.ask())
    return batch


def _tell(study: optuna.Study, trial: Trial, job: JobReturn, objective: metrics.Metric) -> bool:
    """Report what became of a job; whether it has failed."""
    assert job.hydra_cfg is not None
    result = read_or_empty(read_result, Path(job.hydra_cfg.hydra.runtime.output_dir))
    status, value = result.get("status"), result.get("metrics", {}).get(objective.name)
    if status == "completed" and value is not None:
        study.tell(trial, value)
    else:
        study.tell(trial, state=TrialState.PRUNED if status == "pruned" else TrialState.FAIL)
    return status != "pruned" and (status != "completed" or value is None)


def findings_text(study: optuna.Study) -> str:
    """``search.md``: how many trials there are, the best of them, what mattered."""
    completed, pruned, failed = (
        len(study.get_trials(states=[state]))
        for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    )
    lines = [f"# Search: {completed} completed, {pruned} pruned, {failed} failed", ""]
    if completed:
        best = study.best_trial
        overrides = " ".join(best.user_attrs["overrides"])
        lines += [f"Best: {study.best_value:.4f}, trial {best.number}: {overrides}", ""]
        lines += [f"Importance: {_importance(study, completed)}.", ""]
    return "\n".join(map(printable, lines))


def _importance(study: optuna.Study, completed: int) -> str:
    if completed < ENOUGH:
        return f"too few completed trials to tell, {completed} of at least {ENOUGH}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    listed = ", ".join(f"`{key}` {share:.2f}" for key, share in shares.items())
    return f"{listed} (PED-ANOVA)" if listed else "no key is in all trials"
