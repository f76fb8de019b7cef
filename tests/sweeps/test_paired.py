from __future__ import annotations

import random

import pytest
from scipy import stats

from dae.sweeps.paired import PairedT, half_width, holm, paired_t


@pytest.mark.parametrize("n", [3, 5, 12])
@pytest.mark.parametrize("shift", [0.0, 0.02, -5.0])
def test_the_paired_test_is_scipys(n, shift):
    rng = random.Random(n)
    base = [rng.gauss(0.8, 0.05) for _ in range(n)]
    own = [value + shift + rng.gauss(0, 0.01) for value in base]
    found = paired_t([ours - theirs for ours, theirs in zip(own, base, strict=True)])
    expected = stats.ttest_rel(own, base)
    assert found.n == n
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))


@pytest.mark.parametrize("differences", [[0.1], [0.1, 0.3], [0.1, 0.1, 0.1], [0.0] * 5])
def test_without_three_different_pairs_there_is_a_difference_and_no_verdict(differences):
    found = paired_t(differences)
    assert found == PairedT(len(differences), found.difference)
    assert found.difference == pytest.approx(sum(differences) / len(differences))
    assert found.interval is None


def test_differences_that_only_rounding_parts_are_equal():
    differences = [0.9 - 0.8, 0.8 - 0.7, 0.4 - 0.3]
    assert len(set(differences)) == 3
    assert paired_t(differences).p is None
    assert paired_t([1e-6, 2e-6, 4e-6]).p is not None


def test_no_pair_has_no_difference():
    assert paired_t([]) == PairedT(0)


def test_the_interval_of_a_mean_is_scipys():
    values = [0.8, 0.9, 0.7, 0.75]
    low, high = stats.t.interval(0.95, 3, loc=0, scale=stats.sem(values))
    assert half_width(values) == pytest.approx(high) == pytest.approx(-low)
    assert half_width(values[:2]) is None


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []
