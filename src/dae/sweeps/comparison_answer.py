"""The question of a comparison and its answer in words, as an everyday reader gets them."""

from __future__ import annotations

from dataclasses import dataclass

from dae.sweeps.comparison import Comparison, Row
from dae.sweeps.paired import FEWEST
from dae.text import pluralize


@dataclass(frozen=True)
class Unit:
    """How differences of a metric are written: times ``scale``, with so many ``digits`` behind the point."""

    scale: float
    digits: int
    word: str

    def signed(self, difference: float | None) -> str:
        """``+2.1``; a dash for None."""
        return "-" if difference is None else f"{difference * self.scale:+.{self.digits}f}"

    def size(self, difference: float) -> str:
        """``2.1``."""
        return f"{abs(difference) * self.scale:.{self.digits}f}"

    def interval(self, row: Row) -> str:
        """``+1.2 to +3.0``; a dash where there is none."""
        return "-" if row.test.interval is None else " to ".join(map(self.signed, row.test.interval))


def unit(comparison: Comparison) -> Unit:
    """Points, a hundredth each, for an accuracy; the metric's own unit for others."""
    name = comparison.metric.name.rpartition("/")[2]
    if not name.endswith("accuracy"):
        return Unit(1, 2, "dB") if name.startswith("psnr") else Unit(1, 4, "")
    sizes = [abs(row.test.half or row.test.difference or 1) for row in (comparison.primary, *comparison.rows)]
    return Unit(100, 2 if min(sizes, default=1) < 0.005 else 1, "points")


def question(comparison: Comparison) -> str:
    """What is asked: the last arm against the first."""
    key, arm, baseline = comparison.key, comparison.arms[-1], comparison.baseline
    if (key, baseline) == ("pretraining", "none"):
        return "Does pretraining help?"
    return f"Does {key}={arm} help?"


def answer(comparison: Comparison) -> str:
    """Yes, no, or that it cannot be said, and by how much."""
    row, test = comparison.primary, comparison.primary.test
    if test.difference is None:
        return "not known yet"
    measure, difference = unit(comparison), unit(comparison).signed(test.difference)
    of_metric = " ".join(filter(None, [measure.word, "of", comparison.metric.name]))
    amount = f"{difference} {of_metric}"
    return {
        "helps": f"yes, it helps: {amount}",
        "hurts": f"no, it hurts: {amount}",
        "none": f"no difference that {pluralize(test.n, 'seed')} can show: {amount}",
        "open": f"{amount}, but no verdict",
    }[row.verdict]


def evidence(comparison: Comparison) -> str:
    """What the answer rests on: interval, seeds, test set; without a verdict, why."""
    row, test, measure = comparison.primary, comparison.primary.test, unit(comparison)
    if test.difference is None:
        arms = f"{comparison.arms[-1]} and {comparison.baseline}"
        if all((others, comparison.arms[-1]) in comparison.same_runs for others in comparison.combinations):
            return f"{arms} came to the same runs, so there is nothing to compare"
        return f"no seed has been measured with {arms} in all combinations of the other keys"
    images = f" of {pluralize(comparison.images, 'image')}" if comparison.images else ""
    basis = f"{pluralize(test.n, 'seed')}, one {comparison.split} set{images}"
    if comparison.metric.mode == "min":
        basis = f"lower is better; {basis}"
    if test.half is None:
        return f"{basis}; {no_verdict(row)}"
    told = f"95 % interval {measure.interval(row)}, {basis}"
    if row.verdict == "none":
        least = " ".join(filter(None, [measure.size(test.half), measure.word]))
        told += f"; the smallest that they could have shown is {least}"
    return told


def in_plain_words(comparison: Comparison) -> str:
    """The two figures behind the answer, of an accuracy in percent; empty without them."""
    row = comparison.primary
    if row.mean is None or row.baseline_mean is None:
        return ""
    base, own = (f"with {comparison.key}={arm}" for arm in (comparison.baseline, row.arm))
    over = ", mean over all combinations" if len(comparison.covered) > 1 else ""
    if not comparison.metric.name.endswith("/accuracy"):
        name = comparison.metric.name
        return f"the mean of {name} is {written(row.baseline_mean)} {base}, {written(row.mean)} {own}{over}"
    digits = unit(comparison).digits
    low, high = (f"{100 * value:.{digits}f} %" for value in (row.baseline_mean, row.mean))
    right = f"{base} {low} of the {comparison.split} images are classified right, {own} {high}{over}"
    return f"{right}; a point is one image in a hundred"


def sentence(comparison: Comparison) -> str:
    """Question, answer and evidence as one line."""
    versus = f"{comparison.arms[-1]} against {comparison.baseline}"
    return f"{question(comparison)} {versus}: {answer(comparison)} ({evidence(comparison)})"


def no_verdict(row: Row) -> str:
    """Why a row has a difference and no verdict."""
    if row.test.n < FEWEST:
        verb = "is" if row.test.n == 1 else "are"
        return f"{pluralize(row.test.n, 'seed')} {verb} too few, a verdict needs {FEWEST}"
    return f"all {row.test.n} differences are equal, so that there is no spread to judge them by"


def written(value: float | None) -> str:
    """A metric with four digits; a dash for None."""
    return "-" if value is None else f"{value:.4f}"
