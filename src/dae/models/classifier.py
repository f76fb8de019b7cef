"""Stage 2: a small classifier on an encoder, part of it frozen."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from dae.models.description import Description, built
from dae.models.epoch_metrics import BalancedAccuracy, ImageMean, Mean, MeasuredModule
from dae.models.networks import blocks_of
from dae.models.optimization import OptimizerFactory, ScheduleFactory

Batch = tuple[Tensor, Tensor]


def hits(logits: Tensor, labels: Tensor) -> Tensor:
    """1 for each image that is classified right, 0 for the others, (N,)."""
    return (logits.argmax(1) == labels).float()


class EncoderClassifier(MeasuredModule):
    """Logits of the classes from the latent of an encoder.

    What is frozen has no gradient and no optimizer entry, and stays in evaluation mode. A fit sees only what
    comes after it: its batches hold features, the output of ``frozen_part``.

    ``load_from_checkpoint`` works: there the networks, the optimizer and the schedule are given by their
    descriptions, as the checkpoint holds them.

    Args:
        encoder: Images to latents, by its ``blocks`` if it has any; ``nn.Identity``, or None, for raw pixels.
        head: Latents (N, C, H, W) to logits (N, classes), which its last layer gives.
        trainable_blocks: How many of the encoder's blocks are trained, counted from the latent back, or
            ``all``.
        optimizer: Builds the optimizer from the trained parameters.
        scheduler: Builds the learning rate schedule from the optimizer and the number of steps.

    Raises:
        ValueError: The encoder has fewer blocks.
    """

    stage = "classifier"

    def __init__(
        self,
        encoder: nn.Module | Description | None,
        head: nn.Module | Description,
        trainable_blocks: int | Literal["all"],
        optimizer: OptimizerFactory | Description,
        scheduler: ScheduleFactory | Description,
    ) -> None:
        head = built(head, "head")
        classes: int = [*head.children()][-1].out_features  # type: ignore[assignment]
        balanced = [{"balanced_accuracy": BalancedAccuracy(classes)} for _ in range(2)]
        trained = {"loss": Mean(), "accuracy": Mean(), **balanced[0]}
        measured = {"loss": ImageMean(), "accuracy": ImageMean(), **balanced[1]}
        super().__init__(optimizer, scheduler, trained, measured)
        self.encoder = encoder = nn.Identity() if encoder is None else built(encoder, "encoder")
        self.head = head
        blocks = blocks_of(encoder)
        split = 0 if trainable_blocks == "all" else len(blocks) - trainable_blocks
        if split < 0:
            raise ValueError(f"trainable_blocks={trainable_blocks}, but the encoder has {len(blocks)}")
        # Tuples, so that torch does not register the blocks a second time.
        self.frozen_blocks: tuple[nn.Module, ...] = tuple(blocks[:split])
        self.trained_blocks: tuple[nn.Module, ...] = tuple(blocks[split:])
        encoder.requires_grad_(False)
        for block in self.trained_blocks:
            block.requires_grad_(True)
        self.train()

    def train(self, mode: bool = True) -> EncoderClassifier:
        """Switch the trained blocks and the head; what is frozen stays in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        for block in self.trained_blocks:
            block.train(mode)
        return self

    def frozen_tensors(self) -> dict[str, Tensor]:
        """Weights and buffers of the encoder that no step may change, by their names in the state dict."""
        trained = {
            id(tensor)
            for block in self.trained_blocks
            for tensor in block.state_dict(keep_vars=True).values()
        }
        tensors = self.encoder.state_dict(prefix="encoder.", keep_vars=True)
        return {name: tensor for name, tensor in tensors.items() if id(tensor) not in trained}

    def frozen_part(self) -> nn.Module:
        """Images to features: the blocks that cannot change, so that their output may be kept."""
        return nn.Sequential(*self.frozen_blocks)

    def from_features(self, features: Tensor) -> Tensor:
        """The output of ``frozen_part`` to logits (N, classes), in float32 whatever computed them."""
        for block in self.trained_blocks:
            features = block(features)
        return self.head(features).float()

    def forward(self, images: Tensor) -> Tensor:
        """Images in [0, 1] to logits (N, classes)."""
        return self.from_features(self.frozen_part()(images))

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The cross-entropy of one batch of features. Logging waits for the epoch's end."""
        features, labels = batch
        logits = self.from_features(features)
        loss = F.cross_entropy(logits, labels)
        self.train_metrics["loss"].update(loss, len(labels))
        right = hits(logits, labels)
        self.train_metrics["accuracy"].update(right.mean(), len(labels))
        self.train_metrics["balanced_accuracy"].update(right, labels)
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Measure one batch of features; callbacks get its logits."""
        features, labels = batch
        logits = self.from_features(features)
        self.eval_metrics["loss"].update(F.cross_entropy(logits, labels, reduction="none"))
        right = hits(logits, labels)
        self.eval_metrics["accuracy"].update(right)
        self.eval_metrics["balanced_accuracy"].update(right, labels)
        return logits

    test_step = validation_step
