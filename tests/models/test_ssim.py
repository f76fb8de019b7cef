from __future__ import annotations

import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from dae.models.ssim import structural_similarity


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (1, 28), (3, 32)])
def test_it_is_torchmetrics_figure_of_each_image(channels, side):
    torch.manual_seed(0)
    targets = torch.rand(5, channels, side, side)
    images = (targets + 0.2 * torch.randn_like(targets)).clamp(0, 1)
    images[0, :, 4:8] = 0
    theirs = structural_similarity_index_measure(images, targets, data_range=1.0, reduction="none")
    assert torch.allclose(structural_similarity(images, targets), theirs, atol=1e-5)  # type: ignore[arg-type]


def test_an_image_is_like_itself():
    image = torch.rand(2, 1, 28, 28)
    assert structural_similarity(image, image).tolist() == pytest.approx([1, 1], abs=1e-5)
