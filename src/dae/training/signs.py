"""Watches a stage for warnings that little was learned, each a figure that is held against a limit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from dae.data.image_set import mean_image
from dae.data.images import ImageDataModule
from dae.models.autoencoder import DenoisingAutoencoder
from dae.models.noise import NoNoise
from dae.runs.records import WORDS, Sign
from dae.text import pluralize

# Nearly all images: a class that is said for this share, though it is not that common.
NEARLY_ALL, COMMON = 0.95, 0.9
# Optimizer steps; fewer are few.
FEW_STEPS = 300
# Share of what the validation loss has fallen by since the untrained network, for the last fifth of a fit.
LATE_SHARE = 0.05


class LearningSigns(Callback):
    """Notes the course of the losses, and sums up what the tested checkpoint makes of each image.

    Stage 1 is held to the images under the reference noise where it is trained with noise, else to the clean
    ones.

    Args:
        data: Set up; its test set is the one that is tested on.
    """

    def __init__(self, data: ImageDataModule) -> None:
        self.data = data
        self.val_losses: list[float] = []
        self.train_losses: list[float] = []
        # At the end of the fit: Lightning sets callbacks back to the checkpoint that is tested.
        self.course: tuple[list[float], list[float]] = [], []
        self.count = 0

    def state_dict(self) -> dict[str, Any]:
        """The losses so far: a resumed fit knows its whole course."""
        return {"val": self.val_losses, "train": self.train_losses}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the losses over."""
        self.val_losses, self.train_losses = [*state_dict["val"]], [*state_dict["train"]]

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the loss of a validation within a fit."""
        if trainer.state.fn == TrainerFn.FITTING:
            name = "noisy_loss" if _has_noise(pl_module) else "loss"
            self.val_losses.append(float(trainer.callback_metrics[f"{pl_module.stage}/val/{name}"]))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the training loss of an epoch, which the module logs and forgets next."""
        self.train_losses.append(float(pl_module.train_metrics["loss"].compute()))  # type: ignore[index,union-attr]

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the course of the whole fit."""
        self.course = self.val_losses, self.train_losses

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the sums: over images and reconstructions, or over the classes that were said."""
        self.count, device = 0, pl_module.device
        if isinstance(pl_module, DenoisingAutoencoder):
            self.under_noise = _has_noise(pl_module)
            self.mean = mean_image(self.data.train.images).to(device)
            self.sums = torch.zeros(3, *self.mean.shape, device=device)
        else:  # said, labelled, right
            self.sums = torch.zeros(3, len(self.data.classes), device=device)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Take in a batch and what ``test_step`` has made of it."""
        inputs, labels = batch
        self.count += len(labels)
        if isinstance(pl_module, DenoisingAutoencoder):
            made = outputs["logits" if self.under_noise else "clean_logits"].sigmoid()
            compared = (made, self.mean, outputs["noisy"].clamp(0, 1))
            self.sums += torch.stack([(each - inputs).square().sum(0) for each in compared])
        else:
            said, size = outputs.argmax(1), len(self.data.classes)
            groups = (said, labels, labels[said == labels])
            self.sums += torch.stack([torch.bincount(group, minlength=size) for group in groups])

    def found(self, trainer: Trainer, module: LightningModule) -> tuple[Sign, ...]:
        """The signs, the last one with what most likely helps.

        There are none without an epoch, without a test, or if that has seen only some of the images.
        """
        if trainer.current_epoch == 0 or self.count < len(self.data.test.labels):
            return ()
        stage = str(module.stage)
        classifies = stage == "classifier"
        signs = [*(_classifier_signs(self.sums, self.data.classes) if classifies else self._dae_signs())]
        short = [*_few_steps(stage, trainer.global_step)]
        untrained = math.log(len(self.data.classes) if classifies else 2)
        short += _still_improving(stage, *self.course, untrained)
        found = [*signs, *short]
        if found:
            text = f"{found[-1].text}; {self._advice(trainer, module, signs, short)}"
            found[-1] = found[-1].model_copy(update={"text": text})
        return tuple(found)

    def _dae_signs(self) -> Iterator[Sign]:
        error, of_mean, of_input = (self.sums / self.count).flatten(1).mean(1).tolist()
        measured = f"its mean squared error on the test set is {error:.4f}"
        if error >= of_mean:
            yield _sign(
                "dae", "mean_image", f"{measured}, that of the mean image {of_mean:.4f}", error, of_mean
            )
        # A reference noise that changes nothing leaves nothing to be done.
        if self.under_noise and error >= of_input > 0:
            figures = f"{measured}, that of the noisy input {of_input:.4f}"
            yield _sign("dae", "worse_than_input", figures, error, of_input)

    def _advice(self, trainer: Trainer, module: LightningModule, signs: list[Sign], short: list[Sign]) -> str:
        """What most likely helps: smaller steps, moved images, or more steps."""
        stage, epochs, steps = module.stage, trainer.current_epoch, trainer.global_step
        rate, losses = module.hparams["optimizer"].get("lr"), self.course[0]
        if not short and rate and any(sign.name in ("mean_image", "one_class") for sign in signs):
            return f"try {stage}.optimizer.lr={rate / 10:g}"
        if not short and losses and losses.index(min(losses)) < len(losses) // 2:
            return "its validation loss has long risen again: try data.augment=2"
        longer = 2 * epochs if steps >= FEW_STEPS else math.ceil(epochs * FEW_STEPS / max(steps, 1))
        return f"try {stage}.epochs={longer}"


def _classifier_signs(sums: Tensor, classes: Sequence[str]) -> Iterator[Sign]:
    said, labelled, right = sums
    most, count = int(said.argmax()), float(labelled.sum())
    share, own = float(said[most]) / count, float(labelled[most]) / count
    accuracy, majority = float(right.sum()) / count, float(labelled.max()) / count
    if share >= NEARLY_ALL and own < COMMON:
        figures = f"{classes[most]} for {share:.1%} of the test images, of which {own:.1%} are"
        yield _sign("classifier", "one_class", figures, share, NEARLY_ALL)
    if accuracy <= majority < 1:
        figures = f"its accuracy on the test set is {accuracy:.4f}, that class's share {majority:.4f}"
        yield _sign("classifier", "majority_class", figures, accuracy, majority)


def _few_steps(stage: str, steps: int) -> Iterator[Sign]:
    if steps < FEW_STEPS:
        yield _sign(stage, "few_steps", f"{steps}, fewer than {FEW_STEPS}", steps, FEW_STEPS)


def _still_improving(
    stage: str, val_losses: Sequence[float], train_losses: Sequence[float], untrained: float
) -> Iterator[Sign]:
    """A sign if much of the progress came late, on training images, too: that of few others wavers."""
    share = late_share(val_losses, untrained)
    # The mean over the first epoch may be worse than knowing nothing.
    if share > LATE_SHARE < late_share(train_losses, max([untrained, *train_losses[:1]])):
        last = pluralize(max(1, len(val_losses) // 5), "validation")
        figures = f"{share:.1%} of what its validation loss fell by came with the last {last}"
        yield _sign(stage, "still_improving", f"{figures}, more than {LATE_SHARE:.0%}", share, LATE_SHARE)


def late_share(losses: Sequence[float], untrained: float) -> float:
    """How much of all that a loss has fallen by since ``untrained`` came in the last fifth of a fit.

    0 if its last value is not the least, or if that says nothing.
    """
    late = max(1, len(losses) // 5)
    if len(losses) < 2 or not losses[-1] <= min(losses) < untrained:
        return 0.0
    return min(1.0, (min(losses[:-late]) - losses[-1]) / (untrained - losses[-1]))


def _sign(stage: str, name: str, figures: str, value: float, limit: float) -> Sign:
    return Sign(stage=stage, name=name, text=f"{WORDS[name]}: {figures}", value=value, limit=limit)


def _has_noise(module: LightningModule) -> bool:
    return isinstance(module, DenoisingAutoencoder) and not isinstance(module.noise, NoNoise)
