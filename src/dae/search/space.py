"""The space of a search: Hydra's sweeps as Optuna's distributions, and which keys belong to a choice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from dae.errors import Problem, raise_problems
from dae.schema import leaves, select
from dae.text import closest_name

# Keys that may not be searched over, each with the reason and what to do instead.
REFUSED = {
    "seed": "a search would choose the luckiest seed; search with one, then run the best with -m seed=0,1,2",
    "stage": "the jobs of a search are judged by one objective, so they run the same stages",
    "objective": "the jobs of a search are judged by one objective",
}


class Space:
    """The overrides of a search: the fixed ones and the keys that are searched over.

    A key need not exist under every choice: ``dae.noise.std`` belongs to ``dae/noise=gaussian``, not to
    ``dae/noise=dropout``. Groups are drawn first, and a trial has the keys that its groups have.

    Args:
        overrides: Of two for the same key the later counts.
        loader: Hydra's.
        master: The config of the sweep.

    Raises:
        ConfigError: Lists everything that is wrong with it.
    """

    def __init__(self, overrides: Sequence[Override], loader: ConfigLoader, master: DictConfig) -> None:
        self.loader, self.master = loader, master
        by_key = {override.get_key_element(): override for override in overrides}
        self.fixed = [str(o.input_line) for o in by_key.values() if not o.is_sweep_override()]
        swept = {key: override for key, override in by_key.items() if override.is_sweep_override()}
        self.groups = [key for key in swept if loader.get_group_options(swept[key].key_or_group)]
        self.dimensions: dict[str, BaseDistribution] = {}
        problems = [Problem(key, REFUSED[key]) for key in swept if key in REFUSED]
        for key, override in swept.items():
            try:
                self.dimensions[key] = distribution(override)
            except ValueError as error:
                problems.append(Problem(str(override.input_line), str(error)))
        if not swept:
            advice = "try 'dae.noise.p=interval(0,0.6)', or experiment=search"
            problems.append(Problem("hydra/sweeper=optuna", "there is nothing to search over", advice))
        raise_problems(problems)
        raise_problems(self._unfounded())

    def overrides(self, trial: Trial) -> list[str]:
        """The overrides of a trial's job."""
        chosen = [f"{key}={trial._suggest(key, self.dimensions[key])}" for key in self.groups]
        config = self.config(chosen)
        for key, values in self.dimensions.items():
            if key not in self.groups and select(config, key) is not None:
                chosen.append(f"{key}={trial._suggest(key, values)}")
        return [*self.fixed, *chosen]

    def config(self, overrides: Sequence[str] = ()) -> dict[str, Any]:
        """The config with these overrides, as plain values."""
        composed: Any = OmegaConf.to_container(self.compose(overrides), resolve=False)
        return composed

    def compose(self, overrides: Sequence[str] = ()) -> DictConfig:
        """The config of a job, ``hydra`` included; by default that of the first choice of each group."""
        first = [f"{key}={self.dimensions[key].choices[0]}" for key in self.groups]
        return self.loader.load_sweep_config(self.master, [*self.fixed, *first, *overrides])

    def _unfounded(self) -> Iterator[Problem]:
        """Keys that exist under no choice."""
        choices = [[f"{key}={choice}"] for key in self.groups for choice in self.dimensions[key].choices]
        configs = [self.config(each) for each in choices or [[]]]
        for key in self.dimensions.keys() - {*self.groups}:
            if all(select(config, key) is None for config in configs):
                meant = closest_name(key, (path for path, _ in leaves(configs[0])))
                yield Problem(key, "there is no such key", f"the nearest is {meant}" if meant else "")


def distribution(override: Override) -> BaseDistribution:
    """Optuna's distribution for a sweep of Hydra's; choices are the texts that follow ``key=``.

    Raises:
        ValueError: It cannot be searched over; the message says why.
    """
    sweep = override.value()
    tags: set[str] = getattr(sweep, "tags", set())
    if tags - {"log"} or (tags and not isinstance(sweep, IntervalSweep)):
        raise ValueError(f"found the tag {', '.join(sorted(tags))}, expected none, or log of an interval")
    if isinstance(sweep, IntervalSweep):
        low, high, log = sweep.start, sweep.end, "log" in tags
        # int(interval(1,9)) is of integers, interval(1,9) is not.
        whole = isinstance(low, int) and isinstance(high, int)
        return IntDistribution(low, high, log) if whole else FloatDistribution(low, high, log)
    if isinstance(sweep, RangeSweep):
        values = list(sweep.range())
        if not values:
            raise ValueError("the range is empty")
        if all(isinstance(value, int) for value in values):
            return IntDistribution(min(values), max(values), step=int(abs(sweep.step)))
        return CategoricalDistribution(values)
    return CategoricalDistribution(list(override.sweep_string_iterator()))
