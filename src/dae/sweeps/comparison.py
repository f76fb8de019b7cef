"""The arms of a sweep, the values of one key, compared with the first of them.

The jobs of two arms are paired by all other keys and the seed. The seeds are what is repeated: for each the
difference is taken first, and the test is over the seeds.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

from dae.metrics import Metric
from dae.sweeps.jobs import Job
from dae.sweeps.paired import LEVEL, PairedT, holm, paired_t

# The values of the other keys, in their order.
Others = tuple[str, ...]
# Of a job in a comparison: the other keys' values, its seed, its arm.
Place = tuple[Others, str, str]


@dataclass(frozen=True)
class Row:
    """An arm against the baseline.

    Attributes:
        others: The values of the other keys; None for all of them together.
        arm: The value of the compared key.
        mean: Of the metric in the arm, over the pairs; None without a pair.
        baseline_mean: Of the metric in the baseline, over the same pairs.
        test: Over the differences, one a seed.
        p_adjusted: Holm's, over all rows; None where there is no p, and for all keys together.
        better: 1 if the arm is better, -1 if it is worse, 0 if neither.
    """

    others: Others | None
    arm: str
    mean: float | None
    baseline_mean: float | None
    test: PairedT
    p_adjusted: float | None = None
    better: int = 0

    @property
    def verdict(self) -> str:
        """``helps``, ``hurts``, ``none``; ``alone`` if only Holm's p is too large; ``open`` without p."""
        if self.test.p is None:
            return "open"
        if self.test.p >= LEVEL:
            return "none"
        if self.p_adjusted is not None and self.p_adjusted >= LEVEL:
            return "alone"
        return "helps" if self.better > 0 else "hurts"


@dataclass(frozen=True)
class Comparison:
    """What a sweep says about one of its keys.

    Attributes:
        key: The compared one.
        metric: What is compared: the objective on the test set, or itself if no job has measured that.
        arms: Values of the key, the baseline first.
        others: The other swept keys, without the seed.
        combinations: The values of the others, in the order in which they were given.
        seeds: All that there are or will be.
        jobs: Those that have begun, by their place.
        without_key: How many jobs have no value of the key.
        objective: What the leaderboard ranks by.
        images: That it is measured on; None if no job says so.
    """

    key: str
    metric: Metric
    arms: tuple[str, ...]
    others: tuple[str, ...]
    combinations: tuple[Others, ...]
    seeds: tuple[str, ...]
    jobs: Mapping[Place, Job]
    without_key: int
    objective: Metric
    images: int | None

    @property
    def split(self) -> str:
        """The images that it is measured on: ``test`` or ``validation``."""
        return "test" if "/test/" in self.metric.name else "validation"

    @property
    def baseline(self) -> str:
        """The first arm."""
        return self.arms[0]

    def value(self, others: Others, seed: str, arm: str, metric: str | None = None) -> float | None:
        """The metric of a job that counts; None if there is none."""
        job = self.jobs.get((others, seed, arm))
        if job is None or job.status != "completed" or job.objective != self.objective:
            return None
        return job.metrics.get(metric or self.metric.name)

    def pairs(self, others: Others, arm: str) -> list[str]:
        """The seeds for which both the arm and the baseline have been measured."""
        return [
            seed
            for seed in self.seeds
            if None not in (self.value(others, seed, arm), self.value(others, seed, self.baseline))
        ]

    @cached_property
    def same_runs(self) -> dict[tuple[Others, str], tuple[Others, str]]:
        """An arm with the other keys' values -> what came to the very same runs: nothing to compare.

        That is the baseline, since the arm changed nothing, or an earlier combination, since another key did
        not: all metrics are the same, bit for bit, for each seed.
        """
        found: dict[tuple[Others, str], tuple[Others, str]] = {}
        for arm in self.arms[1:]:
            seen: dict[str, Others] = {}
            for others in self.combinations:
                seeds = self.pairs(others, arm)
                own, base = (
                    [self.jobs[others, seed, name].metrics for seed in seeds] for name in (arm, self.baseline)
                )
                if not seeds:
                    continue
                earlier = seen.setdefault(repr([seeds, own, base]), others)
                if own == base:
                    found[others, arm] = (others, self.baseline)
                elif earlier != others:
                    found[others, arm] = (earlier, arm)
        return found

    def is_compared(self, others: Others, arm: str) -> bool:
        """Whether an arm is compared with the baseline where the other keys have these values."""
        return (others, arm) not in self.same_runs and bool(self.pairs(others, arm))

    @cached_property
    def covered(self) -> list[Others]:
        """The combinations that the one comparison of all, the last arm against the first, goes over."""
        return [others for others in self.combinations if self.is_compared(others, self.arms[-1])]

    @cached_property
    def complete_seeds(self) -> list[str]:
        """The seeds that count in the one comparison of all: those that have a pair in all it goes over."""
        having = [{*self.pairs(others, self.arms[-1])} for others in self.covered]
        return [seed for seed in self.seeds if having and all(seed in seeds for seeds in having)]

    @cached_property
    def primary(self) -> Row:
        """The last arm against the first, over all combinations of the other keys."""
        return self._row(None, self.arms[-1], self.covered, self.complete_seeds)

    @cached_property
    def rows(self) -> list[Row]:
        """Each arm against the first, for each combination of the other keys; none if that is ``primary``."""
        if not self.others and len(self.arms) == 2:
            return []
        rows = [
            self._row(others, arm, [others], self.pairs(others, arm))
            for others, arm in product(self.combinations, self.arms[1:])
            if self.is_compared(others, arm)
        ]
        adjusted = iter(holm([row.test.p for row in rows if row.test.p is not None]))
        return [row if row.test.p is None else replace(row, p_adjusted=next(adjusted)) for row in rows]

    @property
    def tested(self) -> int:
        """Among how many comparisons Holm's p is."""
        return sum(row.test.p is not None for row in self.rows)

    @cached_property
    def missing(self) -> dict[tuple[Others, str], list[str]]:
        """An arm with the other keys' values -> the seeds for which there is no figure."""
        found: dict[tuple[Others, str], list[str]] = {}
        for others, arm, seed in product(self.combinations, self.arms, self.seeds):
            if self.value(others, seed, arm) is None:
                found.setdefault((others, arm), []).append(seed)
        return found

    def on_validation(self, row: Row) -> float | None:
        """By how much the arm of a row is better by the objective, which is above 0; None if not measured."""
        combinations = self.covered if row.others is None else [row.others]
        seeds = self.complete_seeds if row.others is None else self.pairs(row.others, row.arm)
        name = self.objective.name
        pairs = [
            [self.value(others, seed, arm, name) for arm in (row.arm, self.baseline)]
            for others, seed in product(combinations, seeds)
        ]
        gains = [own - base for own, base in pairs if own is not None and base is not None]
        return self._sign * statistics.fmean(gains) if gains else None

    @property
    def _sign(self) -> int:
        return 1 if self.metric.mode == "max" else -1

    def _row(
        self, others: Others | None, arm: str, combinations: Sequence[Others], seeds: Sequence[str]
    ) -> Row:
        def means(name: str) -> Iterator[float]:
            """One a seed, over the combinations."""
            for seed in seeds:
                values = [self.value(each, seed, name) for each in combinations]
                yield statistics.fmean(value for value in values if value is not None)

        own, base = list(means(arm)), list(means(self.baseline))
        test = paired_t([ours - theirs for ours, theirs in zip(own, base, strict=True)])
        if not own or test.difference is None:
            return Row(others, arm, None, None, test)
        gain = self._sign * test.difference
        better = (gain > 0) - (gain < 0)
        return Row(others, arm, statistics.fmean(own), statistics.fmean(base), test, better=better)
