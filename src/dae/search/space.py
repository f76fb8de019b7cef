"""The space of a search: Hydra's sweeps as Optuna's distributions, and which keys belong to a choice."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
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

from dae.config.compose import COMPOSITION_ERRORS, explain
from dae.errors import Problem, raise_problems
from dae.schema import leaves
from dae.text import closest_name

Point = dict[str, Any]

# Keys that may not be searched over, each with the reason and what to do instead.
REFUSED = {
    "seed": "a search would choose the luckiest seed; search with one, then run the best with -m seed=0,1,2",
    "stage": "the jobs of a search are judged by one objective, so they run the same stages",
    "objective": "the jobs of a search are judged by one objective",
}


class Space:
    """The overrides of a search: the fixed ones and the keys that are searched over.

    A key that is searched over need not exist under every choice: ``dae.noise.std`` belongs to
    ``dae/noise=gaussian``, not to ``dae/noise=dropout``. Groups are drawn first, and a point has the keys
    that its groups have.

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
        self.dimensions: dict[str, BaseDistribution] = {}
        self.groups: dict[str, CategoricalDistribution] = {}
        self._configs: dict[tuple[str, ...], DictConfig] = {}
        problems = []
        for key, override in by_key.items():
            if not override.is_sweep_override():
                continue
            try:
                found = distribution(override)
            except ValueError as error:
                problems.append(Problem(str(override.input_line), str(error)))
                continue
            self.dimensions[key] = found
            if loader.get_group_options(override.key_or_group):
                assert isinstance(found, CategoricalDistribution)
                self.groups[key] = found
        if not self.dimensions and not problems:
            advice = "try 'dae.noise.p=interval(0,0.6)', or experiment=search"
            problems.append(Problem("hydra/sweeper=optuna", "there is nothing to search over", advice))
        raise_problems(problems)
        raise_problems(self._unfounded())

    def draw(self, pick: Callable[[str, BaseDistribution], Any]) -> Point:
        """A point; ``pick`` is asked for the value of each key that exists in it."""
        point = {key: pick(key, groups) for key, groups in self.groups.items()}
        present = self._keys(tuple(f"{key}={choice}" for key, choice in point.items()))
        for key, values in self.dimensions.items():
            if key in present:
                point[key] = pick(key, values)
        return point

    def grid(self) -> list[Point]:
        """Each point once, in the order of the keys."""
        combinations = itertools.product(*map(all_values, self.dimensions.values()))
        points = []
        for values in combinations:
            given = dict(zip(self.dimensions, values, strict=True))
            points.append(self.draw(lambda key, _, given=given: given[key]))  # type: ignore[misc]
        return [point for number, point in enumerate(points) if point not in points[:number]]

    def overrides(self, point: Point) -> list[str]:
        """The overrides of the job that runs this point."""
        return [*self.fixed, *(f"{key}={value}" for key, value in point.items())]

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The config of a job, ``hydra`` included."""
        return self.loader.load_sweep_config(self.master, list(overrides))

    def first(self) -> DictConfig:
        """The config of the first choices, all other keys at their defaults."""
        return self._config(self._first())

    def _config(self, choices: tuple[str, ...]) -> DictConfig:
        if choices not in self._configs:
            self._configs[choices] = self.compose([*self.fixed, *choices])
        return self._configs[choices]

    def _first(self) -> tuple[str, ...]:
        return tuple(f"{key}={groups.choices[0]}" for key, groups in self.groups.items())

    def _keys(self, choices: tuple[str, ...]) -> set[str]:
        """The keys, other than groups, that exist under these choices."""
        config = self._config(choices)
        values = self.dimensions.keys() - self.groups.keys()
        return {key for key in values if key.startswith("+") or _has(config, key)}

    def _unfounded(self) -> Iterator[Problem]:
        """Choices that do not compose, and keys that exist under no choice."""
        present: set[str] = set()
        known: set[str] = set()
        first = self._first()
        for number, (key, groups) in enumerate(self.groups.items()):
            for choice in groups.choices:
                chosen = (*first[:number], f"{key}={choice}", *first[number + 1 :])
                try:
                    present |= self._keys(chosen)
                except COMPOSITION_ERRORS as error:
                    yield from explain(error, [f"{key}={choice}"]).problems
        present |= self._keys(first)
        for key in self.dimensions:
            if key in REFUSED:
                yield Problem(key, REFUSED[key])
            elif key not in self.groups and key not in present:
                known = known or {path for path, _ in leaves(OmegaConf.to_container(self.first()))}
                meant = closest_name(key, known)
                yield Problem(key, "there is no such key", f"the nearest is {meant}" if meant else "")


def _has(config: DictConfig, key: str) -> bool:
    absent = object()
    return OmegaConf.select(config, key, default=absent) is not absent


def distribution(override: Override) -> BaseDistribution:
    """Optuna's distribution for a sweep of Hydra's; choices are the texts that follow ``key=``.

    Raises:
        ValueError: It cannot be searched over; the message says why.
    """
    sweep = override.value()
    tags: set[str] = getattr(sweep, "tags", set())
    if tags - {"log"}:
        raise ValueError(f"found the tag {', '.join(sorted(tags - {'log'}))}, expected log or none")
    if isinstance(sweep, IntervalSweep):
        low, high, log = sweep.start, sweep.end, "log" in tags
        # int(interval(1,9)) is of integers, interval(1,9) is not.
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=log)
        assert low is not None
        assert high is not None
        return FloatDistribution(low, high, log=log)
    if tags:
        raise ValueError(
            "log is for intervals: tag(log, interval(1e-4,1e-2)), tag(log, int(interval(8,128)))"
        )
    if isinstance(sweep, RangeSweep):
        values = list(sweep.range())
        if not values:
            raise ValueError("the range is empty")
        low, high, step = min(values), max(values), abs(sweep.step)
        if isinstance(low, int) and isinstance(step, int):
            return IntDistribution(low, high, step=step)
        return FloatDistribution(low, _short(high, step / 1e6), step=step)
    return CategoricalDistribution(list(override.sweep_string_iterator()))


def all_values(values: BaseDistribution) -> list[Any]:
    """All values of a distribution.

    Raises:
        ValueError: There are infinitely many.
    """
    if isinstance(values, CategoricalDistribution):
        return list(values.choices)
    assert isinstance(values, IntDistribution | FloatDistribution)
    if values.step is None:
        raise ValueError("an interval has no list of values")
    count = round((values.high - values.low) / values.step) + 1
    return [round_value(values.low + number * values.step, values) for number in range(count)]


def round_value(value: Any, values: BaseDistribution) -> Any:
    """Round to three digits of the value, or of the interval's width.

    So the study holds the very value that is run, folder names stay short, and a printed command repeats a
    run exactly.
    """
    if not isinstance(values, FloatDistribution):
        return value
    if values.step is not None:
        return _short(value, values.step / 1e6)  # 0.1 * 3
    width = abs(value) if values.log else values.high - values.low
    return min(max(_short(value, width / 1e2), values.low), values.high)


def _short(value: float, unit: float) -> float:
    """Rounded to the power of ten below ``unit``."""
    return round(value, -math.floor(math.log10(unit))) if unit else value
