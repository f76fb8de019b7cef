from __future__ import annotations

import pytest

from dae.report.intervals import bootstrap_interval, wilson_interval


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    [
        (95, 100, (0.8882, 0.9785)),
        (10, 20, (0.2993, 0.7007)),
        (0, 10, (0.0, 0.2775)),
        (10, 10, (0.7225, 1.0)),
    ],
)
def test_wilson(successes, trials, expected):
    assert wilson_interval(successes, trials) == pytest.approx(expected, abs=5e-5)


def test_bootstrap_of_ones_and_zeros_is_the_binomial_distribution():
    # The mean of a resample is binomial(100, 0.5) / 100, whose 2.5 % and 97.5 % quantiles are 0.40 and 0.60.
    assert bootstrap_interval([0.0] * 50 + [1.0] * 50) == pytest.approx((0.40, 0.60), abs=0.011)
