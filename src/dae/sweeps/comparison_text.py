"""A comparison in words: the question and its answer, the table, what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dae.sweeps.cautions import different_images
from dae.sweeps.comparison import Comparison, Others, Row
from dae.sweeps.paired import FEWEST
from dae.words import counted

# More places that lack a figure, or hold the same runs, are only counted.
MOST_NAMED = 5


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
        "helps": f"yes, {amount}",
        "hurts": f"no, it hurts: {amount}",
        "none": f"no difference that {counted(test.n, 'seed')} can show: {amount}",
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
    images = f" of {counted(comparison.images, 'image')}" if comparison.images else ""
    basis = f"{counted(test.n, 'seed')}, one {comparison.split} set{images}"
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
        return f"the mean of {name} is {_figure(row.baseline_mean)} {base}, {_figure(row.mean)} {own}{over}"
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
        return f"{counted(row.test.n, 'seed')} {verb} too few, a verdict needs {FEWEST}"
    return f"all {row.test.n} differences are equal, so that there is no spread to judge them by"


def verdict(comparison: Comparison, row: Row) -> str:
    """The verdict of a row in words."""
    if row.test.difference is None:
        return "not known yet"
    alone = f"on its own, not among {comparison.tested} comparisons"
    return {
        "helps": "helps",
        "hurts": "hurts",
        "none": f"no difference that {counted(row.test.n, 'seed')} can show",
        "alone": f"{'helps' if row.better > 0 else 'hurts'} {alone}",
        "open": f"no verdict: {no_verdict(row)}",
    }[row.verdict]


def table(comparison: Comparison) -> list[list[str]]:
    """The header, the one comparison over all other keys, and a row for each combination and arm."""
    measure = unit(comparison)
    name = f"difference ({measure.word})" if measure.word else "difference"
    head = [*comparison.others, comparison.key, name, "95 % interval", "verdict"]
    rows = [[*head, "n", "p", "p (Holm)", "mean", f"mean of {comparison.baseline}"]]
    for row in (comparison.primary, *comparison.rows):
        others = row.others if row.others is not None else ("all",) * len(comparison.others)
        told = [measure.signed(row.test.difference), measure.interval(row), verdict(comparison, row)]
        tests = [str(row.test.n), _p(row.test.p), _p(row.p_adjusted)]
        rows.append([*others, row.arm, *told, *tests, _figure(row.mean), _figure(row.baseline_mean)])
    return rows


def notes(comparison: Comparison) -> Iterator[str]:
    """What does not count in the comparison, and why; what says that an arm has learned little."""
    same: dict[str, list[str]] = {}
    for (others, arm), (earlier, other) in comparison.same_runs.items():
        with_those = f" with {place(comparison, earlier)}" if earlier != others else ""
        same.setdefault(f"{arm} came to the same runs as {other}{with_those}", []).append(
            place(comparison, others)
        )
    for words, places in same.items():
        where = f" where {_some(places)}" if any(places) else ""
        yield f"{words}{where}: not compared"
    if lacking := comparison.missing:
        places = [
            f"{' with '.join(filter(None, [arm, place(comparison, others)]))} (seed {', '.join(seeds)})"
            for (others, arm), seeds in lacking.items()
        ]
        yield f"without a figure: {_some(places)}"
    counting = comparison.complete_seeds
    partly = {seed for others in comparison.covered for seed in comparison.pairs(others, comparison.arms[-1])}
    if left_out := [seed for seed in comparison.seeds if seed in partly and seed not in counting]:
        yield (
            f"seed {', '.join(left_out)} lacks some combinations, and does not count in the answer over all "
            "of them"
        )
    if comparison.split == "validation":
        yield (
            f"{comparison.metric.name} is not measured on the test set: validation, which checkpoints are "
            "chosen by, flatters, and may flatter one arm more than another"
        )
    if comparison.without_key:
        jobs = counted(comparison.without_key, "job")
        yield f"{jobs} without a value of {comparison.key} left out"
    for arm, words in signs_by_arm(comparison).items():
        yield f"{arm}: {words}"


def signs_by_arm(comparison: Comparison) -> Mapping[str, str]:
    """``3 of 9 jobs show signs that little was learned: few_steps``, for the arms of which it is so."""
    found = {}
    for arm in comparison.arms:
        jobs = [job for (*_, name), job in comparison.jobs.items() if name == arm]
        names = Counter(sign.rpartition("/")[2] for job in jobs for sign in {*job.signs})
        if names:
            showing = sum(bool(job.signs) for job in jobs)
            verb = "shows" if showing == 1 else "show"
            what = f"signs that little was learned: {', '.join(names)}"
            found[arm] = f"{showing} of {counted(len(jobs), 'job')} {verb} {what}"
    return found


def cautions(comparison: Comparison) -> Iterator[str]:
    """Reasons to be careful with the comparison."""
    yield from different_images((comparison.key, *comparison.others), comparison.metric.name)
    if _contradicts(comparison, comparison.primary):
        better, worse = comparison.arms[-1], comparison.baseline
        if comparison.primary.better < 0:
            better, worse = worse, better
        yield (
            f"by the mean {better} is ahead of {worse} on the test set, and behind it on validation, which "
            "the leaderboard ranks by"
        )
    rows = [
        ", ".join(filter(None, [row.arm, place(comparison, row.others or ())]))
        for row in comparison.rows
        if _contradicts(comparison, row)
    ]
    if rows and comparison.others:
        yield (
            f"in {len(rows)} of {counted(len(comparison.rows), 'row')} test and validation disagree about "
            f"which is better: {_some(rows)}"
        )


def _contradicts(comparison: Comparison, row: Row) -> bool:
    gain = comparison.on_validation(row)
    return gain is not None and row.better * gain < 0


def place(comparison: Comparison, others: Others) -> str:
    """``classifier=linear, data.labels=100``."""
    return ", ".join(f"{key}={value}" for key, value in zip(comparison.others, others, strict=True))


def _some(places: list[str]) -> str:
    more = f" and {len(places) - MOST_NAMED} more" if len(places) > MOST_NAMED else ""
    return "; ".join(places[:MOST_NAMED]) + more


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _p(value: float | None) -> str:
    return "-" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
