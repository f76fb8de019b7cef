"""Which images are drawn: a choice that depends on the labels and on a seed alone."""

from __future__ import annotations

import torch
from torch import Tensor


def class_balanced(labels: Tensor, count: int, seed: int) -> Tensor:
    """Indices of ``count`` images, from each class as many as from the others where the class has them.

    A larger ``count`` of the same seed contains the smaller one.

    Args:
        labels: Class of each image, (N,).
        count: How many to draw, at most N.
        seed: What decides which ones.

    Returns:
        (count,), ascending.
    """
    shuffled, turns = _in_turns(labels, seed)
    by_turn = torch.argsort(turns, stable=True)
    return shuffled[by_turn[:count]].sort().values


def from_each_class(labels: Tensor, counts: Tensor, seed: int) -> Tensor:
    """Indices of ``counts[c]`` images of each class c, or of all that it has.

    Larger ``counts`` of the same seed contain the smaller ones.

    Args:
        labels: Class of each image, (N,).
        counts: How many of each class, (classes,).
        seed: What decides which ones.

    Returns:
        At most ``counts.sum()`` indices, ascending.
    """
    shuffled, turns = _in_turns(labels, seed)
    return shuffled[turns < counts[labels[shuffled]]].sort().values


def class_shares(sizes: Tensor, count: int) -> Tensor:
    """``count`` images divided among the classes by their sizes, with the largest remainders.

    Each class keeps at least one image, and gives at least one if it has two, where ``count`` allows that.

    Args:
        sizes: Images of each class, (classes,).
        count: At most the images beyond the first of each class.

    Returns:
        (classes,), with the sum ``count``.
    """
    most = (sizes - 1).clamp(min=0)
    givers = most.clamp(max=1)
    least = givers if count >= givers.sum() else torch.zeros_like(sizes)
    exact = count * sizes.double() / sizes.sum()
    given = exact.long().clamp(least, most)
    while given.sum() < count:
        given[torch.where(given < most, exact - given, -torch.inf).argmax()] += 1
    while given.sum() > count:
        given[torch.where(given > least, exact - given, torch.inf).argmin()] -= 1
    return given


def _in_turns(labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The images in a random order, and the turn of each: how many of its class come before it."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(labels), generator=generator)
    ordered = labels[shuffled]
    turns = torch.empty_like(ordered)
    for label in labels.unique():
        members = ordered == label
        turns[members] = torch.arange(int(members.sum()))
    return shuffled, turns
