"""What a stage has learned, in figures that are held against limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from dae.runs.signs import WORDS, Sign

# A reconstruction that varies less than this share of what the images vary hardly depends on them.
LEAST_VARIANCE = 0.1
# Nearly all images: a class that is said for this share, though it is not that common.
NEARLY_ALL, COMMON = 0.95, 0.9
# Optimizer steps; fewer are few.
FEW_STEPS = 300
# Share of what the validation loss has fallen by since the untrained network, for the last fifth of a fit.
LATE_SHARE = 0.05


class Reconstructions:
    """Running sums over images and their reconstructions.

    They are of the distance to the mean training image: then little is lost to rounding, and the error of
    that image is among them.

    Args:
        mean: The mean training image (C, H, W), in [0, 1].
        under_noise: Whether the images were reconstructed from noisy ones.
    """

    stage = "dae"

    def __init__(self, mean: Tensor, under_noise: bool) -> None:
        self.mean, self.under_noise = mean, under_noise
        self.count = 0
        # Of images and reconstructions: the sum and the sum of squares; then two sums of squared errors.
        self.sums = torch.zeros(6, *mean.shape, device=mean.device)

    def update(self, images: Tensor, reconstructions: Tensor, noisy: Tensor) -> None:
        """Take in a batch; all are (N, C, H, W)."""
        clean, made = images - self.mean, reconstructions - self.mean
        errors = (reconstructions - images, noisy.clamp(0, 1) - images)
        parts = [clean, clean.square(), made, made.square(), *(error.square() for error in errors)]
        self.sums += torch.stack([part.sum(0) for part in parts])
        self.count += len(images)

    def signs(self) -> Iterator[Sign]:
        """Those that the autoencoder has learned little."""
        clean, mean_errors, made, squares, errors, input_errors = self.sums / self.count
        varies = float((squares - made.square()).mean() / (mean_errors - clean.square()).mean())
        error, of_mean, of_input = (float(part.mean()) for part in (errors, mean_errors, input_errors))
        if varies < LEAST_VARIANCE:
            figures = f"its variance over the test images is {max(varies, 0):.3f} of theirs"
            yield _sign(
                "dae", "input_ignored", f"{figures}, less than {LEAST_VARIANCE}", varies, LEAST_VARIANCE
            )
        measured = "its mean squared error on the test set is"
        if error >= of_mean:
            figures = f"{measured} {error:.4f}, that of the mean image {of_mean:.4f}"
            yield _sign("dae", "mean_image", figures, error, of_mean)
        # A reference noise that changes nothing leaves nothing to be done.
        if self.under_noise and error >= of_input > 0:
            figures = f"{measured} {error:.4f}, that of the noisy input {of_input:.4f}"
            yield _sign("dae", "worse_than_input", figures, error, of_input)


class Predictions:
    """Counts of labels and of the classes that were said.

    Args:
        classes: Their names.
        device: Of the labels.
    """

    stage = "classifier"

    def __init__(self, classes: Sequence[str], device: torch.device | None = None) -> None:
        self.classes = classes
        self.count = 0
        self.said, self.labelled = torch.zeros(2, len(classes), dtype=torch.int64, device=device)
        self.right = torch.zeros((), dtype=torch.int64, device=device)

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Take in the logits (N, classes) and the labels (N,) of a batch."""
        said = logits.argmax(1)
        self.said += torch.bincount(said, minlength=len(self.classes))
        self.labelled += torch.bincount(labels, minlength=len(self.classes))
        self.right += (said == labels).sum()
        self.count += len(labels)

    def signs(self) -> Iterator[Sign]:
        """Those that the classifier has learned little."""
        most, labelled = int(self.said.argmax()), self.labelled.tolist()
        share, own = int(self.said[most]) / self.count, labelled[most] / self.count
        accuracy, majority = int(self.right) / self.count, max(labelled) / self.count
        if share >= NEARLY_ALL and own < COMMON:
            figures = f"{self.classes[most]} for {share:.1%} of the test images, of which {own:.1%} are"
            yield _sign("classifier", "one_class", figures, share, NEARLY_ALL)
        if accuracy <= majority < 1:
            figures = f"its accuracy on the test set is {accuracy:.4f}, that class's share {majority:.4f}"
            yield _sign("classifier", "majority_class", figures, accuracy, majority)


def few_steps(stage: str, steps: int) -> Iterator[Sign]:
    """A sign if a fit had few optimizer steps."""
    if steps < FEW_STEPS:
        yield _sign(stage, "few_steps", f"{steps}, fewer than {FEW_STEPS}", steps, FEW_STEPS)


def still_improving(
    stage: str, losses: Sequence[float], trained: Sequence[float], untrained: float
) -> Iterator[Sign]:
    """A sign if the last validation of a fit is the best and much of its progress came late.

    So must much of what was learned of the training images: the loss of a few validation images wavers.

    Args:
        stage: Of the fit.
        losses: One a validation.
        trained: Training losses, one an epoch.
        untrained: The loss of a network that knows nothing.
    """
    late = max(1, len(losses) // 5)
    share = late_share(losses, untrained)
    # The mean over the first epoch may be worse than knowing nothing.
    if share > LATE_SHARE < late_share(trained, max([untrained, *trained[:1]])):
        came = (
            f"with the last {late} of {len(losses)} validations" if late > 1 else "with the last validation"
        )
        figures = (
            f"{share:.1%} of all that its validation loss fell by came {came}, more than {LATE_SHARE:.0%}"
        )
        yield _sign(stage, "still_improving", figures, share, LATE_SHARE)


def late_share(losses: Sequence[float], untrained: float) -> float:
    """How much of all that a loss has fallen by since ``untrained`` came in the last fifth of a fit.

    0 if its last value is not the least, or if that says nothing.
    """
    late = max(1, len(losses) // 5)
    if len(losses) < 2 or not losses[-1] <= min(losses) < untrained:
        return 0.0
    return (min(losses[:-late]) - losses[-1]) / (untrained - losses[-1])


def _sign(stage: str, name: str, figures: str, value: float, limit: float) -> Sign:
    return Sign(stage, name, f"{WORDS[name]}: {figures}", value, limit)
