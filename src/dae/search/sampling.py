"""Who proposes the next point, and who gives a trial up."""

from __future__ import annotations

import warnings
from typing import Any

from optuna import Study, pruners, samplers
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from dae.search.space import round_value


def make_sampler(name: str, seed: int, parallel: bool) -> samplers.BaseSampler:
    """A sampler by its name in ``conf/hydra/sweeper/optuna.yaml``.

    Args:
        name: The points of ``grid`` are enqueued, so nothing is left to be sampled.
        seed: The sampler's own; the runs have theirs.
        parallel: Whether several points are asked for before the first is known.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        if name == "tpe":
            return Rounded(samplers.TPESampler(seed=seed, constant_liar=parallel))
        if name == "cmaes":
            return Rounded(samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False))
        return Rounded(samplers.RandomSampler(seed=seed))


def make_pruner(name: str, grace: int) -> pruners.BasePruner:
    """A pruner by its name in ``conf/hydra/sweeper/optuna.yaml``.

    Args:
        name: One of ``none``, ``median``, ``asha``.
        grace: Epochs that every trial is given.
    """
    if name == "median":
        return pruners.MedianPruner(n_warmup_steps=grace)
    if name == "asha":
        return pruners.SuccessiveHalvingPruner(min_resource=grace)
    return pruners.NopPruner()


class Rounded(samplers.BaseSampler):
    """Rounds what another sampler proposes."""

    def __init__(self, sampler: samplers.BaseSampler) -> None:
        self.sampler = sampler

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Of the other."""
        return self.sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Of the other, rounded."""
        proposed = self.sampler.sample_relative(study, trial, search_space)
        return {key: round_value(value, search_space[key]) for key, value in proposed.items()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Of the other, rounded."""
        proposed = self.sampler.sample_independent(study, trial, param_name, param_distribution)
        return round_value(proposed, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Of the other."""
        self.sampler.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Of the other."""
        self.sampler.after_trial(study, trial, state, values)
