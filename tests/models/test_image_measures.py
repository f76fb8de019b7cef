from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torchmetrics.functional.image import structural_similarity_index_measure

from dae.models.epoch_metrics import binary_cross_entropy, image_losses, structural_similarity


def test_value_and_gradient_are_torchs_own():
    logits = torch.cat([torch.linspace(-30, 30, 601), torch.tensor([-200.0, 200.0])]).requires_grad_()
    for targets in (torch.zeros(603), torch.ones(603), torch.linspace(0, 1, 603)):
        ours, plain = (
            binary_cross_entropy(logits, targets),
            F.binary_cross_entropy_with_logits(logits, targets),
        )
        torch.testing.assert_close(ours, plain, atol=1e-6, rtol=1e-6)
        (got,), (wanted,) = (torch.autograd.grad(3 * loss, logits) for loss in (ours, plain))
        torch.testing.assert_close(got, wanted, atol=1e-9, rtol=1e-5)


def test_the_losses_of_images_average_to_that_of_the_batch():
    logits, images = torch.randn(6, 2, 4, 4), torch.rand(6, 2, 4, 4)
    losses = image_losses(logits, images)
    assert losses.shape == (6,)
    torch.testing.assert_close(losses.mean(), binary_cross_entropy(logits, images))
    torch.testing.assert_close(losses[2], binary_cross_entropy(logits[2], images[2]))


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (1, 28), (3, 32)])
def test_it_is_torchmetrics_figure_of_each_image(channels, side):
    torch.manual_seed(0)
    targets = torch.rand(5, channels, side, side)
    images = (targets + 0.2 * torch.randn_like(targets)).clamp(0, 1)
    images[0, :, 4:8] = 0
    theirs = structural_similarity_index_measure(images, targets, data_range=1.0, reduction="none")
    assert torch.allclose(structural_similarity(images, targets), theirs, atol=1e-5)  # type: ignore[arg-type]
