"""The statistics of a comparison: the paired t-test over seeds, and Holm's correction for many of them.

The two functions of SciPy's that they need are imported when the first figure is computed, so that
``train.py --help`` answers at once.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# With two pairs the interval is twelve standard errors to each side: it could show nothing.
FEWEST = 3
LEVEL = 0.05


@dataclass(frozen=True)
class PairedT:
    """Student's paired t-test.

    Attributes:
        n: How many pairs.
        difference: Their mean difference; None without a pair.
        half: Half the width of the 95 % interval of the mean difference; None for fewer than three pairs, and
            where all differences are equal.
        p: Of both sides, that the mean difference is 0; None as ``half`` is.
    """

    n: int
    difference: float | None = None
    half: float | None = None
    p: float | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean difference."""
        if self.difference is None or self.half is None:
            return None
        return self.difference - self.half, self.difference + self.half


def paired_t(differences: Sequence[float]) -> PairedT:
    """Test whether the mean of differences is 0.

    Args:
        differences: One a pair, independent of each other.
    """
    if not differences:
        return PairedT(0)
    n, mean = len(differences), statistics.fmean(differences)
    spread = max(differences) - min(differences)
    # Equal but for the rounding of a subtraction.
    if n < FEWEST or spread <= 1e-12 * max(1.0, *map(abs, differences)):
        return PairedT(n, mean)
    from scipy.special import stdtr

    error = statistics.stdev(differences) / math.sqrt(n)
    return PairedT(n, mean, half_width(differences), float(2 * stdtr(n - 1, -abs(mean / error))))


def half_width(values: Sequence[float]) -> float | None:
    """Half the width of the 95 % t-interval of a mean; None for fewer than three values."""
    n = len(values)
    if n < FEWEST:
        return None
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, 1 - LEVEL / 2)) * statistics.stdev(values) / math.sqrt(n)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number (Holm 1979): those below 0.05 hold together at that level."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, highest = [0.0] * len(order), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted
