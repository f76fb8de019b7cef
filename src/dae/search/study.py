"""The Optuna study of a search: the sweep opens it, its jobs attach to it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from omegaconf import DictConfig
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    check_distribution_compatibility,
)
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial
from pydantic import NonNegativeInt, PositiveInt

from dae.errors import ConfigError, Problem, raise_problems
from dae.metrics import Metric
from dae.schema import STRICT
from dae.search.sampling import make_pruner, make_sampler
from dae.search.space import Space
from dae.text import path_from_here

log = logging.getLogger(__name__)

# In the sweep's folder.
STUDY = "study.db"


@dataclass
class SearchSettings:
    """``conf/hydra/sweeper/optuna.yaml``, where each key is explained."""

    __pydantic_config__ = STRICT

    params: dict[str, Any]
    n_trials: PositiveInt
    n_jobs: PositiveInt
    sampler: Literal["tpe", "random", "grid", "cmaes"]
    seed: NonNegativeInt
    pruner: Literal["none", "median", "asha"]
    grace: PositiveInt
    storage: str | None
    study_name: str
    trial: NonNegativeInt | None


def open_study(settings: SearchSettings, space: Space, objective: Metric, folder: Path) -> optuna.Study:
    """Open the study, a new one or one to be continued.

    Raises:
        ConfigError: It cannot be opened, or its trials cannot be compared with those to come.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if settings.storage is None:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        study = optuna.create_study(
            study_name=settings.study_name,
            storage=open_storage(settings.storage, folder),
            direction="minimize" if objective.mode == "min" else "maximize",
            load_if_exists=True,
        )
        trials = study.get_trials(deepcopy=False)
        fixed = {*study.user_attrs.get("fixed", space.fixed)}
    except Exception as error:  # each storage library has its own
        place = settings.storage or path_from_here(folder / STUDY)
        what = f"{place} cannot be opened: {str(error).splitlines()[0]}"
        raise ConfigError([Problem("hydra.sweeper.storage", what)]) from error
    study.sampler = make_sampler(settings.sampler, settings.seed + len(trials), settings.n_jobs > 1)
    raise_problems(_incomparable(study, trials, space, objective))
    study.set_user_attr("objective", objective.name)
    if fixed != {*space.fixed}:
        was, now = sorted(fixed - {*space.fixed}), sorted({*space.fixed} - fixed)
        log.warning("The earlier trials of this study ran with %s, the next ones run with %s", was, now)
    study.set_user_attr("fixed", space.fixed)
    return study


def attach_trial(sweeper: DictConfig, folder: Path) -> Trial:
    """The trial that belongs to a job, in the job's own process.

    Args:
        sweeper: The job's ``hydra.sweeper``.
        folder: The sweep's.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(
        study_name=sweeper.study_name,
        storage=open_storage(sweeper.storage, folder),
        sampler=optuna.samplers.RandomSampler(),  # not used: the sweep has sampled already
        pruner=make_pruner(sweeper.pruner, sweeper.grace),
    )
    return Trial(study, sweeper.trial)


def open_storage(url: str | None, folder: Path) -> str | RDBStorage:
    """The storage that holds the study.

    Args:
        url: Optuna's; null is the file in the sweep's folder, whose path may hold what a URL gives a meaning.
        folder: The sweep's.
    """
    if url is not None:
        return url

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(folder / STUDY, timeout=60, check_same_thread=False)

    return RDBStorage("sqlite://", engine_kwargs={"creator": connect})


def _incomparable(
    study: optuna.Study, trials: Sequence[FrozenTrial], space: Space, objective: Metric
) -> list[Problem]:
    advice = f"another hydra.sweeper.study_name than {study.study_name} is another search"
    was = study.user_attrs.get("objective", objective.name)
    if was != objective.name:
        return [Problem("objective", f"found {objective.name}, but the study is judged by {was}", advice)]
    earlier = {key: values for trial in trials for key, values in trial.distributions.items()}
    problems = []
    for key in space.dimensions.keys() & earlier.keys():
        try:
            check_distribution_compatibility(earlier[key], space.dimensions[key])
        except ValueError:
            found, before = _readable(space.dimensions[key]), _readable(earlier[key])
            problems.append(Problem(key, f"found {found}, but the study searches over {before}", advice))
    return problems


def _readable(values: BaseDistribution) -> str:
    return ", ".join(values.choices) if isinstance(values, CategoricalDistribution) else str(values)
