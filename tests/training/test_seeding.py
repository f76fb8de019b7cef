from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from dae.seeds import derive_seed, seed_all
from dae.training.seeding import EpochSeed


def draws(seed: int, stage: str, epoch: int) -> tuple[float, float]:
    torch.rand(3)  # what was drawn before does not matter
    EpochSeed(seed, stage).on_train_epoch_start(SimpleNamespace(current_epoch=epoch), None)  # type: ignore[arg-type]
    return torch.rand(1).item(), float(np.random.rand())


def test_an_epochs_state_depends_on_seed_stage_and_epoch_alone():
    assert draws(0, "dae", 3) == draws(0, "dae", 3)
    states = {draws(0, "dae", 3), draws(1, "dae", 3), draws(0, "classifier", 3), draws(0, "dae", 4)}
    assert len(states) == 4


def test_seeds_are_spread():
    assert 0 <= derive_seed("x") < 2**63
    assert len({derive_seed(seed, "a", 0) for seed in range(1000)}) == 1000
    assert derive_seed(1, 23) != derive_seed(12, 3)
    seed_all(5)
    one = torch.rand(1)
    seed_all(5)
    assert torch.equal(one, torch.rand(1))
