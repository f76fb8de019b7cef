from __future__ import annotations

import pytest
import torch

from dae.data.image_set import class_balanced, class_shares, from_each_class


def test_a_larger_subset_contains_the_smaller_one():
    labels = torch.arange(1000) % 7
    small, large = (set(class_balanced(labels, count, seed=3).tolist()) for count in (50, 300))
    assert small < large
    assert small != set(class_balanced(labels, 50, seed=4).tolist())


def test_so_many_of_each_class_or_all_that_it_has():
    labels = torch.tensor([2, 0, 1] * 10 + [0] * 70)
    counts = torch.tensor([20, 3, 50])
    chosen = from_each_class(labels, counts, seed=0)
    assert torch.bincount(labels[chosen]).tolist() == [20, 3, 10]
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    fewer = from_each_class(labels, counts // 2, seed=0)
    assert set(fewer.tolist()) < set(chosen.tolist())
    assert set(from_each_class(labels, counts, seed=1).tolist()) != set(chosen.tolist())


@pytest.mark.parametrize(
    ("sizes", "count", "given"),
    [
        ([180, 90, 30], 30, [18, 9, 3]),
        ([180, 90, 30], 20, [12, 6, 2]),
        ([10, 10, 10], 10, [4, 3, 3]),
        ([700, 200, 95, 5], 10, [6, 2, 1, 1]),  # the rarest gives one, the largest pays for it
        ([5, 5, 5], 12, [4, 4, 4]),  # each keeps one
        ([50, 1, 0, 2], 10, [9, 0, 0, 1]),
        ([50, 30, 20], 1, [1, 0, 0]),  # too few for all
        ([2, 2, 96], 97, [1, 1, 95]),
    ],
)
def test_a_number_is_divided_by_the_classes_sizes(sizes, count, given):
    assert class_shares(torch.tensor(sizes), count).tolist() == given
