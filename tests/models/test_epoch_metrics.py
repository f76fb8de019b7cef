from __future__ import annotations

import torch
from sklearn.metrics import balanced_accuracy_score
from torchmetrics import MetricCollection

from dae.models.epoch_metrics import BalancedAccuracy, ImageMean, Mean, values_per_image


class ImageMeanOfOne(ImageMean):
    def __init__(self) -> None:
        super().__init__()
        self.update(torch.ones(1))


def test_a_mean_over_images_not_over_batches():
    mean = Mean()
    mean.update(torch.tensor(1.0), 3)
    mean.update(torch.tensor(5.0), 1)
    assert mean.compute() == 2.0
    mean.reset()
    mean.update(torch.tensor(7.0), 2)
    assert mean.compute() == 7.0
    assert not mean.state_dict()


def test_balanced_accuracy_is_the_mean_over_the_classes_that_came_up():
    metric = BalancedAccuracy(4)
    metric.update(torch.tensor([1.0, 1.0, 0.0]), torch.tensor([0, 0, 2]))
    metric.update(torch.tensor([1.0, 0.0, 1.0]), torch.tensor([0, 0, 2]))
    labels, guesses = torch.tensor([0, 0, 2, 0, 0, 2]), torch.tensor([0, 0, 0, 0, 2, 2])
    assert float(metric.compute()) == balanced_accuracy_score(labels, guesses) == (3 / 4 + 1 / 2) / 2
    assert values_per_image(
        MetricCollection({"each": ImageMeanOfOne(), "balanced": metric}, compute_groups=False)
    ) == {
        "images": 1,
        "each": [1.0],
        "balanced": {"right": [3, 0, 1, 0], "images": [4, 0, 2, 0]},
    }
    metric.reset()
    metric.update(torch.tensor([0.0]), torch.tensor([3]))
    assert metric.compute() == 0
