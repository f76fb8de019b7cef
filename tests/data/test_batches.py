from __future__ import annotations

from typing import Any

import pytest
import torch

from dae.data.batches import Batches


def batches_of(count: int, *arguments: Any, **options: Any) -> Batches:
    return Batches(torch.arange(count), torch.arange(count), *arguments, **options)


def drawn(*arguments: int, seed: int = 5, **options: int) -> list[torch.Tensor]:
    count, batch_size, *share = arguments
    torch.manual_seed(seed)
    return [labels for _, labels in batches_of(count, batch_size, True, *share, **options)]


def test_batches_draw_each_image_once_in_a_new_order():
    batches = batches_of(50, 16, True)
    assert len(batches) == 4
    first = [labels for _, labels in batches]
    assert [len(labels) for labels in first] == [16, 16, 16, 2]
    assert sorted(torch.cat(first).tolist()) == list(range(50))
    assert torch.cat(first).tolist() != torch.cat([labels for _, labels in batches]).tolist()
    for images, labels in batches:
        assert torch.equal(images, labels)
    in_order = batches_of(50, 16, False)
    assert torch.cat([labels for _, labels in in_order]).tolist() == list(range(50))


def test_few_images_are_passed_over_until_there_are_steps_enough():
    found = drawn(50, 16, least=10)
    assert len(found) == len(batches_of(50, 16, True, least=10)) == 12, "whole passes"
    passes = [torch.cat(found[start : start + 4]).tolist() for start in (0, 4, 8)]
    assert all(sorted(order) == list(range(50)) for order in passes)
    assert passes[0] != passes[1] != passes[2], "each in its own order"


@pytest.mark.parametrize(("count", "batch_size"), [(22, 4), (23, 4), (7, 128)])
def test_the_shares_of_two_processes_are_disjoint_in_every_pass(count, batch_size):
    first, second = (drawn(count, batch_size, rank, 2, least=30) for rank in (0, 1))
    a_pass = batches_of(count, batch_size, True, 0, 2).batches_a_pass
    assert len(first) == len(second) >= 30
    for start in range(0, len(first), a_pass):
        mine, others = (torch.cat(share[start : start + a_pass]).tolist() for share in (first, second))
        assert not set(mine) & set(others)
        assert len(mine) == len(others) == count // 2
        assert len(set(mine + others)) == len(mine + others)


def test_steps_in_words():
    few = batches_of(216, 8, True, least=100)
    assert few.steps_in_words(10, 1.0, 1) == (
        "1,080 optimizer steps: 10 epochs of 108 (4 passes over 216 images in batches of 8)"
    )
    assert "of which trainer.limit_train_batches=3 leaves 3 of 108" in few.steps_in_words(1, 3, 2)
