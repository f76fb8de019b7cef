from __future__ import annotations

from functools import partial

import pytest
import torch

from dae.models.optimization import cosine, one_cycle


def rates(schedule, steps: int = 20) -> list[float]:
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=0.5)
    built = schedule(optimizer, steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        built.step()
    return found


def test_one_cycle_rises_to_the_optimizers_rate_and_falls():
    found = rates(partial(one_cycle, warmup=0.25, start_factor=0.1))
    assert found[0] == pytest.approx(0.05)
    assert max(found) == pytest.approx(0.5)
    assert found.index(max(found)) == 4
    assert found[-1] < 1e-3


def test_cosine_falls_to_its_share():
    found = rates(partial(cosine, end_factor=0.2), 100)
    assert found[0] == 0.5
    assert found[50] == pytest.approx(0.3, rel=0.01)
    assert found[-1] == pytest.approx(0.1, rel=0.01)
