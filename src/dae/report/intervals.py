"""95 % confidence intervals of test figures, over the test images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dae.text import pluralize

Z95 = 1.959964  # of the standard normal distribution: 97.5 % lie below it
RESAMPLES = 1000
AT_ONCE = 100_000  # values of resamples, so that they stay in the processor's cache


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927), which is valid near 0 and 1 as well.

    Args:
        successes: At most ``trials``.
        trials: At least 1.
    """
    share, z2 = successes / trials, Z95**2
    middle = share + z2 / (2 * trials)
    half = Z95 * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    scale = 1 + z2 / trials
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def mean_share_interval(successes: Sequence[int], trials: Sequence[int]) -> tuple[float, float]:
    """Interval of the mean of several shares (Price & Bonett 2004), which is valid near 0 and 1 as well.

    Args:
        successes: Of each share.
        trials: Of each share; those without any do not count.
    """
    pairs = [pair for pair in zip(successes, trials, strict=True) if pair[1]]
    more = 2 / len(pairs)  # successes, and as many failures, that are added to each share
    shares = [((right + more) / (total + 2 * more), total + 2 * more) for right, total in pairs]
    middle = sum(share for share, _ in shares) / len(shares)
    variance = sum(share * (1 - share) / total for share, total in shares) / len(shares) ** 2
    half = Z95 * math.sqrt(variance)
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean (Efron 1979); the same values always give the same one.

    Args:
        values: At least one.
    """
    sample = np.asarray(values, dtype=np.float64)
    generator = np.random.default_rng(0)
    # Some resamples at a time: all at once would be 80 MB for MNIST's test set.
    at_once = -(-AT_ONCE // len(sample))
    sizes = [(min(at_once, RESAMPLES - done), len(sample)) for done in range(0, RESAMPLES, at_once)]
    means = [sample[generator.integers(len(sample), size=size, dtype=np.int32)].mean(1) for size in sizes]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)


def interval_of(
    metric: str, value: float | None, tested: dict[str, Any]
) -> tuple[tuple[float, float] | None, str]:
    """The interval of a test figure and how it was found; or None, and why there is none.

    Args:
        metric: Its name, without stage and split.
        value: The figure; None if it is not a number.
        tested: What ``test.json`` holds: the number of images, and each metric's value for each of them.
    """
    images = tested.get("images")
    if value is None:
        return None, "the value is not a number"
    if not images:
        return None, "the number of test images is not known"
    if metric in ("accuracy", "probe_accuracy"):
        return wilson_interval(round(value * images), images), f"Wilson, {pluralize(images, 'image')}"
    if metric == "balanced_accuracy" and metric in tested:
        right, of_class = tested[metric]["right"], tested[metric]["images"]
        return mean_share_interval(right, of_class), f"Price and Bonett, {pluralize(images, 'image')}"
    each = [number for number in tested.get(metric, []) if number is not None]
    if each:
        return bootstrap_interval(each), f"bootstrap, {pluralize(len(each), 'image')}"
    return None, f"{pluralize(images, 'image')}, but the value of each was not kept"
