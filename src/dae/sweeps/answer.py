"""A comparison in words: question, answer, what they rest on, and what is to be known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from dae.sweeps.cautions import different_images, signs_sentence
from dae.sweeps.comparison import FEWEST, LEVEL, PROTOCOL, Comparison, Row, holm
from dae.text import first_few, pluralize


@dataclass(frozen=True)
class Unit:
    """How differences of a metric are written: times ``scale``, with so many ``digits`` behind the point."""

    scale: float
    digits: int
    word: str

    def signed(self, difference: float | None) -> str:
        """``+2.1``; a dash for None."""
        return "-" if difference is None else f"{difference * self.scale:+.{self.digits}f}"

    def amount(self, difference: float) -> str:
        """``+2.1 points``."""
        return f"{self.signed(difference)} {self.word}".rstrip()

    def interval(self, row: Row) -> str:
        """``+1.2 to +3.0``; a dash where there is none."""
        return "-" if row.low is None else f"{self.signed(row.low)} to {self.signed(row.high)}"


def unit(comparison: Comparison) -> Unit:
    """Points, a hundredth each, for an accuracy; the metric's own unit for others."""
    name = comparison.metric.name.rpartition("/")[2]
    if not name.endswith("accuracy"):
        return Unit(1, 2, "dB") if name.startswith("psnr") else Unit(1, 4, "")
    sizes = [abs(row.difference or 1) for row in (comparison.primary, *comparison.rows)]
    return Unit(100, 2 if min(sizes) < 0.005 else 1, "points")


def question(comparison: Comparison) -> str:
    """What is asked: the last arm against the first."""
    arm = f"{comparison.key}={comparison.arms[-1]}"
    is_ours = (comparison.key, comparison.baseline) == ("pretraining", "none")
    return "Does pretraining help?" if is_ours else f"Does {arm} help?"


def answer(comparison: Comparison, row: Row | None = None) -> str:
    """Yes, no, or that it cannot be said, and by how much; of the primary row, or another one."""
    row, measure = row or comparison.primary, unit(comparison)
    if row.difference is None:
        return verdict(row)
    amount = measure.amount(row.difference)
    return f"{ {'helps': 'yes, it ', 'hurts': 'no, it '}.get(row.verdict, '') }{verdict(row)}: {amount}"


def at_chance(comparison: Comparison) -> str | None:
    """That no classifier of any arm is better than always to say one class; None if one is."""
    jobs = comparison.jobs.values()
    if not jobs or not all("classifier/majority_class" in job.signs for job in jobs):
        return None
    return "no classifier is better than always to say the most frequent class, so no arm can be judged"


def evidence(comparison: Comparison) -> str:
    """What the answer rests on: interval, seeds, test set."""
    row, measure = comparison.primary, unit(comparison)
    if row.difference is None:
        return f"no seed has been measured with {comparison.arms[-1]} and {comparison.baseline} everywhere"
    counts = [job.images for job in comparison.jobs.values() if job.images and comparison.is_tested]
    images = f" of {pluralize(counts[0], 'image')}" if counts else ""
    told = f"{pluralize(row.n, 'seed')}, one {'test' if comparison.is_tested else 'validation'} set{images}"
    if comparison.metric.mode == "min":
        told = f"lower is better; {told}"
    if row.low is not None:
        told = f"95 % interval {measure.interval(row)}, {told}"
    if row.verdict == "none":
        least = measure.amount((row.high or 0) - row.difference).lstrip("+")
        told += f"; the smallest that they could have shown is {least}"
    return told


def sentence(comparison: Comparison) -> str:
    """Question, answer and evidence as one line; that all are at chance comes first."""
    versus = f"{comparison.arms[-1]} against {comparison.baseline}"
    chance = at_chance(comparison)
    told = f"{answer(comparison)} of {comparison.metric.name} ({evidence(comparison)})"
    return f"{question(comparison)} {versus}: {chance + '; ' if chance else ''}{told}"


def answer_lines(comparison: Comparison) -> Iterator[str]:
    """With three arms each pair that the answer is not about; the answer for each classifier alone."""
    if len(comparison.arms) == 3:
        first, between, last = comparison.arms
        pairs = [replace(comparison, arms=arms) for arms in ((between, last), (first, between))]
        for pair, row in zip(pairs, holm([pair.primary for pair in pairs]), strict=True):
            yield f"{pair.arms[1]} against {pair.arms[0]}: {_with_interval(pair, row)}"
    at = comparison.others.index(PROTOCOL) if comparison.protocols else 0
    for row in comparison.protocols:
        yield f"{row.others[at]}: {_with_interval(comparison, row)}"


def _with_interval(comparison: Comparison, row: Row) -> str:
    interval = unit(comparison).interval(row)
    return answer(comparison, row) + (f" ({interval})" if interval != "-" else "")


def worth(comparison: Comparison) -> Iterator[str]:
    """What labels are worth to the last arm, for each classifier at the first number where it differs."""
    said = set()
    for row in comparison.rows:
        which = tuple(v for key, v in zip(comparison.others, row.others, strict=True) if key != "data.labels")
        differs = row.labels_worth and row.p is not None and row.p < LEVEL
        if row.arm != comparison.arms[-1] or not differs or which in said:
            continue
        said.add(which)
        place = f"{', '.join(which)}: " if which else ""
        had = comparison.labels_per_class[row.others]
        yield (
            f"{place}with {had:.3g} labels a class, {row.arm} is as good as {comparison.baseline} with "
            f"{worth_words(row)}"
        )


def worth_words(row: Row) -> str:
    """``1,020 (seeds: 971 to 1,080)``: with how many labels a class the baseline is as good."""
    counts = [f"{n:.3g}" if n < 100 else f"{n:,.0f}" for n in row.labels_worth or ()]
    return "{} (seeds: {} to {})".format(*counts) if counts else "-"


def verdict(row: Row) -> str:
    """The verdict of a row in words."""
    why = "all differences are equal" if row.n >= FEWEST else f"it needs {FEWEST} seeds, found {row.n}"
    alone = f"{'helps' if row.better > 0 else 'hurts'} on its own, not when corrected for all"
    none = f"no difference that {pluralize(row.n, 'seed')} can show"
    words = {"none": none, "alone": alone, "open": f"no verdict ({why})"}
    return words.get(row.verdict, row.verdict) if row.n else "not known yet"


def notes(comparison: Comparison) -> Iterator[str]:
    """What does not count in the comparison, and why; what is to be known of its arms."""
    for others, arm in comparison.same_runs:
        where = f" where {comparison.place(others)}" if others else ""
        yield f"{arm} came to the same runs as {comparison.baseline}{where}: not compared"
    if lacking := comparison.missing:
        places = [
            f"{' with '.join(filter(None, [arm, comparison.place(others)]))} (seed {', '.join(seeds)})"
            for (others, arm), seeds in lacking.items()
        ]
        yield f"without a figure, and their seeds do not count in the answer: {first_few(places, 5)}"
    if not comparison.is_tested:
        yield (
            f"{comparison.metric.name} is not measured on the test set: validation, which checkpoints are "
            "chosen by, flatters"
        )
    for arm in comparison.arms:
        jobs = [job for (*_, name), job in comparison.jobs.items() if name == arm]
        if said := signs_sentence(jobs):
            yield f"{arm}: {said}"
    yield from different_images((comparison.key, *comparison.others))
