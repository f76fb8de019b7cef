"""Samplers, which propose the next point, and pruners, which end a trial early."""

from __future__ import annotations

import io
import pickle
import warnings
from collections.abc import Sequence
from typing import Any

from optuna import Study, pruners, samplers
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from dae.errors import UserError
from dae.search.space import round_value


def make_sampler(name: str, seed: int, parallel: bool) -> samplers.BaseSampler:
    """A sampler by its name in ``conf/hydra/sweeper/optuna.yaml``.

    Args:
        name: ``tpe``, ``cmaes``, ``random``, or ``grid``: its points are enqueued, so it samples nothing.
        seed: The sampler's own, not that of the runs.
        parallel: Whether several points are proposed before the result of the first is known.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        if name == "tpe":
            return Rounded(samplers.TPESampler(seed=seed, constant_liar=parallel))
        if name == "cmaes":
            return Rounded(CmaEs(seed=seed, warn_independent_sampling=False))
        return Rounded(samplers.RandomSampler(seed=seed))


def make_pruner(name: str, grace: int) -> pruners.BasePruner:
    """A pruner by its name in ``conf/hydra/sweeper/optuna.yaml``.

    Args:
        name: One of ``none``, ``median``, ``asha``.
        grace: Epochs before a trial may be ended.
    """
    if name == "median":
        return pruners.MedianPruner(n_warmup_steps=grace)
    if name == "asha":
        return pruners.SuccessiveHalvingPruner(min_resource=grace)
    return pruners.NopPruner()


class CmaEs(samplers.CmaEsSampler):
    """Optuna's, which keeps its state in the study as a pickle. A study may be somebody else's."""

    def _restore_optimizer(self, completed_trials: Sequence[FrozenTrial]) -> Any:
        for trial in reversed(completed_trials):
            pieces = {
                key: value
                for key, value in trial.system_attrs.items()
                if key.startswith(self._attr_key_optimizer)
            }
            if pieces:
                state = bytes.fromhex(self._concat_optimizer_attrs(pieces))
                return _StateOfCmaEs(io.BytesIO(state)).load()
        return None


class _StateOfCmaEs(pickle.Unpickler):
    """Makes what the state of CMA-ES is made of, and calls nothing else."""

    MADE_OF = (
        *(("cmaes._cma", "CMA"), ("cmaes._sepcma", "SepCMA"), ("cmaes._cmawm", "CMAwM")),
        *(("numpy", "ndarray"), ("numpy", "dtype")),
        *(
            (f"numpy.{core}.multiarray", name)
            for core in ("core", "_core")
            for name in ("_reconstruct", "scalar")
        ),
    )

    def find_class(self, module: str, name: str) -> Any:
        """Find one of these alone."""
        if (module, name) not in self.MADE_OF:
            raise UserError(
                f"the study names {module}.{name} in its state of CMA-ES, where it has no place: it is "
                " damaged or made to run code. Search on in another folder: hydra.sweep.dir=<folder>"
            )
        return super().find_class(module, name)


class Rounded(samplers.BaseSampler):
    """Wraps another sampler and rounds what it proposes."""

    def __init__(self, sampler: samplers.BaseSampler) -> None:
        self.sampler = sampler

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the keys that the wrapped sampler draws together."""
        return self.sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Sample the keys that belong together, and round."""
        proposed = self.sampler.sample_relative(study, trial, search_space)
        return {key: round_value(value, search_space[key]) for key, value in proposed.items()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Sample a key by itself, and round."""
        proposed = self.sampler.sample_independent(study, trial, param_name, param_distribution)
        return round_value(proposed, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Prepare the wrapped sampler."""
        self.sampler.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Let the wrapped sampler know the result."""
        self.sampler.after_trial(study, trial, state, values)
