"""Watches a stage for signs that little was learned."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn

from dae.data.images import ImageDataModule
from dae.data.targets import mean_image
from dae.models.autoencoder import DenoisingAutoencoder
from dae.models.noise import NoNoise
from dae.runs.signs import Sign
from dae.training.evidence import FEW_STEPS, Predictions, Reconstructions, few_steps, still_improving


class LearningSigns(Callback):
    """Notes the course of the validation loss, and sums up what the tested checkpoint makes of each image.

    Stage 1 is held to the images under the reference noise where it is trained with noise, else to the clean
    ones.

    Args:
        data: Set up; its test set is the one that is tested on.
    """

    def __init__(self, data: ImageDataModule) -> None:
        self.data = data
        self.losses: list[float] = []
        self.trained: list[float] = []
        # Both at the end of the fit: Lightning sets callbacks back to the checkpoint that is tested.
        self.course: tuple[list[float], list[float]] = [], []
        self.evidence: Reconstructions | Predictions | None = None

    def state_dict(self) -> dict[str, Any]:
        """The losses so far: a resumed fit knows its whole course."""
        return {"losses": self.losses, "trained": self.trained}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the losses over."""
        self.losses, self.trained = list(state_dict["losses"]), list(state_dict["trained"])

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the loss of a validation within a fit."""
        if trainer.state.fn == TrainerFn.FITTING:
            name = "noisy_loss" if _has_noise(pl_module) else "loss"
            self.losses.append(float(trainer.callback_metrics[f"{pl_module.stage}/val/{name}"]))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the training loss of an epoch, which the module logs and forgets next."""
        self.trained.append(float(pl_module.trained["loss"].compute()))  # type: ignore[index,union-attr]

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the course of the whole fit."""
        self.course = self.losses, self.trained

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the sums."""
        if isinstance(pl_module, DenoisingAutoencoder):
            mean = mean_image(self.data.train.images).to(pl_module.device)
            self.evidence = Reconstructions(mean, _has_noise(pl_module))
        else:
            self.evidence = Predictions(self.data.classes, pl_module.device)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Take in a batch and what ``test_step`` has made of it."""
        inputs, labels = batch
        if isinstance(self.evidence, Predictions):
            self.evidence.update(outputs, labels)
        elif self.evidence:
            logits = outputs["logits" if self.evidence.under_noise else "clean_logits"]
            self.evidence.update(inputs, logits.sigmoid(), outputs["noisy"])

    def found(self, trainer: Trainer, module: LightningModule) -> tuple[Sign, ...]:
        """The signs, the last one with what most likely helps.

        There are none without an epoch, without a test, or if that has seen only some of the images.
        """
        epochs, steps, evidence = trainer.current_epoch, trainer.global_step, self.evidence
        if epochs == 0 or evidence is None or evidence.count < len(self.data.test.labels):
            return ()
        stage = str(module.stage)
        untrained = math.log(len(self.data.classes) if stage == "classifier" else 2)
        short = [*few_steps(stage, steps), *still_improving(stage, *self.course, untrained)]
        signs = [*evidence.signs(), *short]
        dead = not short and any(sign.name in ("input_ignored", "one_class") for sign in signs)
        if signs:
            rate = module.hparams["optimizer"].get("lr") if dead else None
            if rate:  # a network that has died of large steps may come back with smaller ones
                advice = f"try {stage}.optimizer.lr={rate / 10:g}"
            elif not short and self._learned_by_heart():
                advice = "its validation loss has long risen again: try data.augment=2"
            else:
                advice = _longer(trainer, stage)
            signs[-1] = replace(signs[-1], text=f"{signs[-1].text}; {advice}")
        return tuple(signs)

    def _learned_by_heart(self) -> bool:
        """Whether the best validation lies in the first half of the fit."""
        losses, _ = self.course
        return bool(losses) and losses.index(min(losses)) < len(losses) // 2


def _has_noise(module: LightningModule) -> bool:
    return isinstance(module, DenoisingAutoencoder) and not isinstance(module.noise, NoNoise)


def _longer(trainer: Trainer, stage: str) -> str:
    """Overrides that make enough steps, or twice as many epochs."""
    epochs, steps = trainer.current_epoch, trainer.global_step
    if steps >= FEW_STEPS:
        return f"try {stage}.epochs={2 * epochs}"
    batches = math.ceil(FEW_STEPS / epochs) * trainer.accumulate_grad_batches
    return f"try {stage}.epochs={math.ceil(epochs * FEW_STEPS / max(steps, 1))} or data.least_steps={batches}"
