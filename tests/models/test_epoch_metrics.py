from __future__ import annotations

import torch

from dae.models.epoch_metrics import Mean


def test_a_mean_over_images_not_over_batches():
    mean = Mean()
    mean.update(torch.tensor(1.0), 3)
    mean.update(torch.tensor(5.0), 1)
    assert mean.compute() == 2.0
    mean.reset()
    mean.update(torch.tensor(7.0), 2)
    assert mean.compute() == 7.0
    assert not mean.state_dict()
