from __future__ import annotations

import pytest
import torch
from torchmetrics.image import StructuralSimilarityIndexMeasure

from dae.models.ssim import StructuralSimilarity


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (1, 28), (3, 32)])
def test_it_is_torchmetrics_figure(channels, side):
    torch.manual_seed(0)
    ours, theirs = StructuralSimilarity(), StructuralSimilarityIndexMeasure(data_range=1.0)
    for count in (5, 3):
        targets = torch.rand(count, channels, side, side)
        images = (targets + 0.2 * torch.randn_like(targets)).clamp(0, 1)
        images[0, :, 4:8] = 0
        ours.update(images, targets)
        theirs.update(images, targets)
    assert ours.compute().item() == pytest.approx(float(theirs.compute()), abs=1e-5)  # type: ignore[arg-type]


def test_an_image_is_like_itself():
    ours = StructuralSimilarity()
    image = torch.rand(2, 1, 28, 28)
    ours.update(image, image)
    assert ours.compute().item() == pytest.approx(1, abs=1e-5)
