"""95 % confidence intervals of test figures, over the test images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dae.text import pluralize

RESAMPLES = 1000
AT_ONCE = 100_000  # values of resamples, so that they stay in the processor's cache


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927), which is valid near 0 and 1 as well."""
    from scipy.stats import binomtest  # half a second

    found = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean (Efron 1979); the same values always give the same one."""
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
    if value is None or not images:
        return None, "not known"
    if metric in ("accuracy", "probe_accuracy"):
        return wilson_interval(round(value * images), images), f"Wilson, {pluralize(images, 'image')}"
    found = tested.get(metric)
    each = [number for number in found if number is not None] if isinstance(found, list) else []
    if each:
        return bootstrap_interval(each), f"bootstrap, {pluralize(len(each), 'image')}"
    return None, "not known: no image has a value of its own"
