"""Reasons to be careful with the figures of a sweep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from dae.runs.records import sign_words
from dae.sweeps.jobs import Job
from dae.sweeps.table import SweepTable, is_below
from dae.text import pluralize

# Keys that decide which images the metrics are measured on.
IMAGES = (
    "data",
    *(f"data.{key}" for key in ("validation", "split_seed", "image_size", "channels", "root")),
    *(f"data.{key}" for key in ("fit", "background", "bad_images")),
)


def cautions(table: SweepTable, is_compared: bool = False) -> Iterator[str]:
    """A sentence for each reason to be careful with a ranking; a comparison tells signs by its arms."""
    if not is_compared and (said := signs_sentence(table.jobs)):
        yield said
    if table.objective is None:
        return
    if others := sum(job.objective not in (None, table.objective) for job in table.jobs):
        yield f"{pluralize(others, 'job')} judged by another metric not ranked"
    yield from different_images(table.keys)
    ranked = [group for group in table.groups if group.scored]
    if len(ranked) > 1 and all(len(group.scored) == 1 for group in ranked):
        yield "one seed each: what is smaller than the spread over seeds says nothing; add seed=0,1,2"


def different_images(keys: Sequence[str]) -> Iterator[str]:
    """A sentence if keys decide which images are measured on, or under which noise."""
    if moved := [key for key in keys if key in IMAGES or is_below(key, "dae.reference_noise")]:
        yield f"{' and '.join(moved)} decide what is measured on: their values' figures do not compare"


def signs_sentence(jobs: Collection[Job]) -> str | None:
    """How many jobs show signs that little was learned, and which signs how often; None if none does."""
    showing = sum(bool(job.signs) for job in jobs)
    counts = Counter(sign for job in jobs for sign in job.signs)
    reasons = "; ".join(f"{sign_words(sign)} ({count})" for sign, count in counts.most_common())
    verb = "shows" if showing == 1 else "show"
    told = f"{showing} of {pluralize(len(jobs), 'job')} {verb} signs that little was learned: {reasons}"
    return told if showing else None
