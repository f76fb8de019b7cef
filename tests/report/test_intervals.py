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


def test_bootstrap_narrows_with_the_root_of_the_number():
    few, many = ([20.0, 24.0] * count for count in (50, 5000))
    low, high = bootstrap_interval(few)
    less, more = bootstrap_interval(many)
    assert (high - low) / (more - less) == pytest.approx(10, rel=0.1)
    assert low < less < 22 < more < high


def test_bootstrap_is_the_same_each_time():
    values = [number**2 / 7 for number in range(50)]
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval([3.0, 3.0]) == (3.0, 3.0)
