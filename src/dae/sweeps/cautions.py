"""Reasons to be careful with a ranking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from dae.runs.records import sign_words
from dae.sweeps.jobs import Job
from dae.sweeps.ranking import Group, Leaderboard
from dae.text import format_figure, pluralize

# Keys that decide which images the metrics are measured on (``data`` is the group), and metrics that are
# measured under the reference noise.
IMAGES = (
    "data",
    *(f"data.{key}" for key in ("validation", "split_seed", "image_size", "channels", "root")),
    *(f"data.{key}" for key in ("fit", "background", "bad_images")),
)
UNDER_REFERENCE_NOISE = ("noisy_loss", "psnr", "ssim")


def cautions(board: Leaderboard) -> Iterator[str]:
    """For each reason to be careful with the ranking of a sweep, what it is and what would help."""
    if said := signs_sentence(board.jobs, more=", with figures on their own pages"):
        yield said
    if board.objective is None:
        return
    yield from _other_objectives(board)
    stage, split, metric = board.objective.name.split("/")
    noise = [key for key in board.keys if is_below(key, "dae.noise")]
    if noise and stage == "dae" and metric in ("loss", "pixel_accuracy"):
        better = ", ".join(f"objective=dae/{split}/{name}" for name in ("psnr", "noisy_loss", "ssim"))
        yield (
            f"{board.objective.name} is measured on the clean input, so ranking {_list(noise)} by it favours "
            f"little noise; compare denoisers by one of {better}"
        )
    yield from different_images(board.keys, board.objective.name)
    ranked = [group for group in board.groups if group.scored]
    if len(ranked) > 1 and all(len(group.scored) == 1 for group in ranked):
        yield (
            "one seed each: a difference that is smaller than the spread over seeds says nothing; "
            "add seed=0,1,2"
        )
    elif len(ranked) > 1:
        yield from _overlap(ranked[:2])


def different_images(keys: Sequence[str], metric: str) -> Iterator[str]:
    """A sentence if keys that a sweep varies decide which images, or which noise, a metric is measured on."""
    moved = [key for key in keys if key in IMAGES]
    if metric.rpartition("/")[2] in UNDER_REFERENCE_NOISE:
        moved += [key for key in keys if is_below(key, "dae.reference_noise")]
    if moved:
        what = "noise" if all(is_below(key, "dae.reference_noise") for key in moved) else "images"
        yield (
            f"the values of {_list(moved)} are measured on different {what}, so their figures do not "
            "compare; give each value a sweep of its own"
        )


def _overlap(groups: Sequence[Group]) -> Iterator[str]:
    """A sentence if the ranges of two groups over their seeds overlap or touch."""
    seeds = [[job.value for job in group.scored if job.value is not None] for group in groups]
    spans = [(min(values), max(values)) for values in seeds]
    (low, high), (other_low, other_high) = spans
    if low <= other_high and other_low <= high:
        ranges = " and ".join(f"{format_figure(low)} to {format_figure(high)}" for low, high in spans)
        more = ",".join(str(seed) for seed in range(2 * max(map(len, seeds)) + 1))
        yield (
            f"over their seeds the best two overlap ({ranges}), so which is better may be luck; "
            f"add seed={more}"
        )


def signs_sentence(jobs: Collection[Job], more: str = "") -> str | None:
    """How many jobs show signs that little was learned, and which signs how often; None if none does."""
    showing = sum(bool(job.signs) for job in jobs)
    counts = Counter(sign for job in jobs for sign in job.signs)
    reasons = "; ".join(f"{sign_words(sign)} ({count})" for sign, count in counts.most_common())
    verb = "shows" if showing == 1 else "show"
    what = f"signs that little was learned{more}: {reasons}"
    return f"{showing} of {pluralize(len(jobs), 'job')} {verb} {what}" if showing else None


def _other_objectives(board: Leaderboard) -> Iterator[str]:
    assert board.objective is not None
    names = sorted({job.objective.name for job in board.jobs if job.objective} - {board.objective.name})
    if names:
        others = sum(job.objective is not None and job.objective.name in names for job in board.jobs)
        jobs = f"{pluralize(others, 'job')} {'is' if others == 1 else 'are'}"
        yield (
            f"{jobs} judged by {_list(names)} and not ranked, since most are by {board.objective.name}; "
            f"objective={board.objective.name} judges all jobs that measure it by the same"
        )


def is_below(key: str, node: str) -> bool:
    """Whether an override is about a node of the config: a key in it, or its group (``dae/noise``)."""
    # A group may be placed elsewhere than its name says: dae/noise@dae.reference_noise.
    path = key.rpartition("@")[2].replace("/", ".").lstrip("~")
    return f"{path}.".startswith(f"{node}.")


def _list(names: list[str]) -> str:
    return " and ".join(names)
