"""A comparison in words: its table, what was left out and why, reasons to be careful."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dae.sweeps.cautions import different_images, signs_sentence
from dae.sweeps.comparison import Comparison, Others, Row
from dae.sweeps.comparison_answer import no_verdict, unit, written
from dae.text import pluralize

# More places that lack a figure, or hold the same runs, are only counted.
MOST_NAMED = 5


def verdict(comparison: Comparison, row: Row) -> str:
    """The verdict of a row in words."""
    if row.test.difference is None:
        return "not known yet"
    alone = f"on its own, not among {comparison.tested} comparisons"
    return {
        "helps": "helps",
        "hurts": "hurts",
        "none": f"no difference that {pluralize(row.test.n, 'seed')} can show",
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
        rows.append([*others, row.arm, *told, *tests, written(row.mean), written(row.baseline_mean)])
    return rows


def notes(comparison: Comparison) -> Iterator[str]:
    """What does not count in the comparison, and why."""
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
        jobs = pluralize(comparison.without_key, "job")
        yield f"{jobs} without a value of {comparison.key} left out"


def signs_by_arm(comparison: Comparison) -> Mapping[str, str]:
    """Of the arms with such jobs: ``3 of 9 jobs show signs that little was learned: dae: few ...``."""
    found = {}
    for arm in comparison.arms:
        if said := signs_sentence([job for (*_, name), job in comparison.jobs.items() if name == arm]):
            found[arm] = said
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
            f"in {len(rows)} of {pluralize(len(comparison.rows), 'row')} test and validation disagree about "
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


def _p(value: float | None) -> str:
    return "-" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
