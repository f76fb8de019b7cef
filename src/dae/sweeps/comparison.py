"""The arms of a sweep, the values of one key, each against the baseline.

The jobs of two arms are paired by all other columns and the seed. The seeds are what is repeated: for each
the difference is taken first, and the test is over the seeds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np

from dae.metrics import Metric
from dae.sweeps.jobs import Job
from dae.sweeps.order import Order
from dae.sweeps.table import SweepTable

LABELS, PROTOCOL = "data.labels", "classifier"
LEVEL = 0.05
# With two seeds the interval is twelve standard errors to each side: it could show nothing.
FEWEST = 3

# The values of the other columns, in their order.
Others = tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """An arm against the baseline.

    Attributes:
        others: The values of the other columns; ``all`` where the mean is over them.
        n: How many seeds have a pair.
        mean: Of the metric in the arm, over the pairs; None without a pair.
        baseline_mean: Of the metric in the baseline, over the same pairs.
        difference: Mean of the differences, one a seed.
        low: Of the 95 % interval of the mean difference, by Student's paired t-test; None, as ``high`` and
            ``p`` are, for fewer than three pairs, and where all differences are equal.
        p: Of both sides, that the mean difference is 0.
        p_adjusted: Holm's, over the rows of its kind; None where there is no p, and for the answer.
        better: 1 if the arm is better, -1 if it is worse, 0 if neither.
        labels_worth: With how many labels a class the baseline is as good: by the means over the seeds, the
            least and the most of a seed; None where a seed's lies outside of the baseline's curve.
    """

    others: Others
    arm: str
    n: int = 0
    mean: float | None = None
    baseline_mean: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    better: int = 0
    labels_worth: tuple[float, float, float] | None = None

    @property
    def verdict(self) -> str:
        """``helps``, ``hurts``, ``none``; ``alone`` if only Holm's p is too large; ``open`` without p."""
        if self.p is None:
            return "open"
        if self.p >= LEVEL:
            return "none"
        if self.p_adjusted is not None and self.p_adjusted >= LEVEL:
            return "alone"
        return "helps" if self.better > 0 else "hurts"


@dataclass(frozen=True)
class Comparison:
    """What a sweep says about one of its keys.

    Attributes:
        key: The compared one.
        metric: What is compared: the objective on the test set, or itself where that is not measured there.
        objective: What the table ranks by.
        arms: Values of the key, the baseline first, the one that the answer is about last.
        others: The other columns.
        combinations: Their values.
        seeds: All that there are or will be.
        jobs: Those that count, by the other columns, seed and arm.
    """

    key: str
    metric: Metric
    objective: Metric
    arms: tuple[str, ...]
    others: tuple[str, ...]
    combinations: tuple[Others, ...]
    seeds: tuple[str, ...]
    jobs: Mapping[tuple[Others, str, str], Job]

    @property
    def baseline(self) -> str:
        """The first arm."""
        return self.arms[0]

    @property
    def is_tested(self) -> bool:
        """Whether it is measured on the test set."""
        return "/test/" in self.metric.name

    def value(self, others: Others, seed: str, arm: str) -> float | None:
        """The metric of a job; None if there is none."""
        job = self.jobs.get((others, seed, arm))
        return job.metrics.get(self.metric.name) if job else None

    def pairs(self, others: Others, arm: str) -> list[str]:
        """The seeds for which both the arm and the baseline have been measured."""
        wanted = (arm, self.baseline)
        return [
            seed for seed in self.seeds if None not in [self.value(others, seed, each) for each in wanted]
        ]

    @cached_property
    def same_runs(self) -> list[tuple[Others, str]]:
        """Where all metrics of an arm are the baseline's, bit for bit, for each seed: nothing to compare."""

        def metrics(others: Others, arm: str, name: str) -> list[Mapping[str, float]]:
            return [self.jobs[others, seed, name].metrics for seed in self.pairs(others, arm)]

        cells = product(self.combinations, self.arms[1:])
        same = ((c, arm, metrics(c, arm, arm), metrics(c, arm, self.baseline)) for c, arm in cells)
        return [(others, arm) for others, arm, own, base in same if own and own == base]

    def compared(self, arm: str, protocol: str | None = None) -> list[Others]:
        """The combinations in which an arm is compared with the baseline, perhaps of one classifier alone."""
        return [
            others
            for others in self.combinations
            if (others, arm) not in self.same_runs
            and self.pairs(others, arm)
            and protocol in (None, *others[self._protocol])
        ]

    @property
    def _protocol(self) -> slice:
        at = self.others.index(PROTOCOL) if PROTOCOL in self.others else len(self.others)
        return slice(at, at + 1)

    @cached_property
    def primary(self) -> Row:
        """The last arm against the first, over all combinations of the other columns."""
        everywhere = ("all",) * len(self.others)
        return self._row(everywhere, self.arms[-1], self.compared(self.arms[-1]))

    @cached_property
    def protocols(self) -> list[Row]:
        """The answer for each classifier alone, over its combinations; none where that does not vary."""
        known = dict.fromkeys(name for others in self.combinations for name in others[self._protocol])
        rows = []
        for name in known if len(self.others) > 1 else ():
            others = tuple(name if key == PROTOCOL else "all" for key in self.others)
            rows.append(self._row(others, self.arms[-1], self.compared(self.arms[-1], name)))
        return holm(rows)

    @cached_property
    def rows(self) -> list[Row]:
        """Each arm against the first, for each combination of other columns, but for what is ``primary``."""
        pairs = product(self.combinations, self.arms[1:] if self.others else self.arms[1:-1])
        rows = [self._row(others, arm, [others]) for others, arm in pairs if others in self.compared(arm)]
        return [replace(row, labels_worth=self._labels_worth(row)) for row in holm(rows)]

    @property
    def all_rows(self) -> list[Row]:
        """The answer, that of each classifier, and the rest."""
        return [self.primary, *self.protocols, *self.rows]

    def complete_seeds(self, combinations: Sequence[Others], arm: str) -> list[str]:
        """The seeds that have a pair in each of some combinations."""
        having = [{*self.pairs(others, arm)} for others in combinations]
        return [seed for seed in self.seeds if having and all(seed in seeds for seeds in having)]

    def _row(self, others: Others, arm: str, combinations: Sequence[Others]) -> Row:
        seeds = self.complete_seeds(combinations, arm)
        own, base = (
            [statistics.fmean(self._measured(each, seed, name) for each in combinations) for seed in seeds]
            for name in (arm, self.baseline)
        )
        if not seeds:
            return Row(others, arm)
        difference, low, high, p = paired_t([ours - theirs for ours, theirs in zip(own, base, strict=True)])
        gain = difference if self.metric.mode == "max" else -difference
        means = statistics.fmean(own), statistics.fmean(base)
        better = (gain > 0) - (gain < 0)
        return Row(others, arm, len(seeds), *means, difference, low, high, p, better=better)

    def _measured(self, others: Others, seed: str, arm: str) -> float:
        value = self.value(others, seed, arm)
        assert value is not None  # a pair
        return value

    @cached_property
    def missing(self) -> dict[tuple[Others, str], list[str]]:
        """Other columns and an arm -> the seeds for which there is no figure."""
        found: dict[tuple[Others, str], list[str]] = {}
        for others, arm, seed in product(self.combinations, self.arms, self.seeds):
            if self.value(others, seed, arm) is None:
                found.setdefault((others, arm), []).append(seed)
        return found

    def place(self, others: Others) -> str:
        """``classifier=linear, data.labels=100``."""
        return ", ".join(f"{key}={value}" for key, value in zip(self.others, others, strict=True))

    @cached_property
    def labels_per_class(self) -> dict[Others, float]:
        """How many labels stage 2 has had of each class, on average, where a job says so."""
        return {others: job.labels for (others, *_), job in self.jobs.items() if job.labels}

    def _labels_worth(self, row: Row) -> tuple[float, float, float] | None:
        """With how many labels the baseline is as good, read off its curve on a logarithmic axis."""
        if LABELS not in self.others:
            return None
        at = self.others.index(LABELS)
        beside = [
            each
            for each in self.combinations
            if each[:at] + each[at + 1 :] == row.others[:at] + row.others[at + 1 :]
        ]
        counts = self.labels_per_class
        known = sorted((counts[others], others) for others in beside if counts.get(others))
        seeds = [
            seed
            for seed in self.pairs(row.others, row.arm)
            if all(self.value(others, seed, self.baseline) is not None for _, others in known)
        ]
        if len(known) < 2 or not seeds:
            return None
        logs = [math.log(count) for count, _ in known]
        curves = [[self._measured(others, seed, self.baseline) for _, others in known] for seed in seeds]
        reached = [self._measured(row.others, seed, row.arm) for seed in seeds]
        sign = 1 if self.metric.mode == "max" else -1

        def crossing(curve: Sequence[float], value: float) -> float | None:
            rising = np.maximum.accumulate(sign * np.array(curve))
            inside = rising[0] <= sign * value <= rising[-1]
            return math.exp(np.interp(sign * value, rising, logs)) if inside else None

        worth = [crossing(curve, value) for curve, value in zip(curves, reached, strict=True)]
        mean = crossing(np.mean(curves, axis=0).tolist(), statistics.fmean(reached))
        inside = [each for each in worth if each is not None]
        return (mean, min(inside), max(inside)) if mean and len(inside) == len(worth) else None


def compare(table: SweepTable, order: Order | None) -> Comparison | None:
    """Compare the arms of a sweep; None if nothing is asked for, or there is nothing to be compared yet."""
    objective = table.objective
    if order is None or objective is None or order.key not in table.keys:
        return None
    others = tuple(key for key in table.keys if key != order.key)
    arms, seeds = (
        order.arms(job.values[order.key] for job in table.jobs),
        order.sorted("seed", (job.seed for job in table.jobs)),
    )
    orders = [order.sorted(key, (job.values[key] for job in table.jobs)) for key in others]
    there = {tuple(job.values[key] for key in others) for job in table.jobs if job.values[order.key] in arms}
    tested = objective.name.replace("/val/", "/test/")
    name = tested if tested in table.metrics or objective.name not in table.metrics else objective.name
    return Comparison(
        key=order.key,
        metric=Metric(name, objective.mode),
        objective=objective,
        arms=tuple(arms),
        others=others,
        combinations=tuple(
            sorted(there, key=lambda each: [o.index(v) for o, v in zip(orders, each, strict=True)])
        ),
        seeds=tuple(seeds),
        jobs={
            (tuple(group[key] for key in others), job.seed, group[order.key]): job
            for group in table.groups
            for job in group.scored
        },
    )


def paired_t(differences: Sequence[float]) -> tuple[float, float | None, float | None, float | None]:
    """The mean of differences that are independent of each other, its 95 % interval, the p that it is 0."""
    mean, spread = statistics.fmean(differences), max(differences) - min(differences)
    # Equal but for the rounding of a subtraction.
    if len(differences) < FEWEST or spread <= 1e-12 * max(1.0, *map(abs, differences)):
        return mean, None, None, None
    from scipy import stats  # half a second, which --help need not take

    found = stats.ttest_1samp(differences, 0.0)
    low, high = found.confidence_interval(1 - LEVEL)
    return mean, float(low), float(high), float(found.pvalue)


def holm(rows: Sequence[Row]) -> list[Row]:
    """The rows with p-values adjusted for their number (Holm 1979): those below 0.05 hold together."""
    tested = sorted((row.p, place) for place, row in enumerate(rows) if row.p is not None)
    adjusted, highest = [*rows], 0.0
    for rank, (p, place) in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - rank) * p))
        adjusted[place] = replace(rows[place], p_adjusted=highest)
    return adjusted


def estimates(comparison: Comparison, others: Others) -> Iterator[tuple[str, float, float]]:
    """Each arm with its mean over all seeds that have it, and half of the 95 % interval; 0 for none."""
    for arm in comparison.arms:
        values = [comparison.value(others, seed, arm) for seed in comparison.seeds]
        if there := [value for value in values if value is not None]:
            mean, low, *_ = paired_t(there)
            yield arm, mean, 0.0 if low is None else mean - low
