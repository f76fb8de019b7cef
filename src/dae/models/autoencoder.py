"""Stage 1: the denoising autoencoder's loss, metrics and optimizer."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from dae.metrics import METRICS
from dae.models.description import Description, built
from dae.models.epoch_metrics import (
    ImageMean,
    Mean,
    MeasuredModule,
    binary_cross_entropy,
    image_losses,
    structural_similarity,
)
from dae.models.noise import Noise
from dae.models.optimization import OptimizerFactory, ScheduleFactory
from dae.seeds import derive_seed

Batch = tuple[Tensor, Tensor]
# Under a PSNR: what is reconstructed perfectly has 100 dB, and not infinitely many.
LEAST_ERROR = 1e-10


class DenoisingAutoencoder(MeasuredModule):
    """Reconstructs the clean image from a corrupted one (Vincent et al. 2008).

    The loss is the mean binary cross-entropy per pixel in nats. Evaluation measures the reconstruction of
    the clean image (``loss``, ``pixel_accuracy``: Keras's way) and of the image under ``reference_noise``
    (``noisy_loss``, ``psnr`` in dB, ``ssim``), the same noise in every epoch and in every run.

    ``load_from_checkpoint`` works: there the networks, the noises, the optimizer and the schedule are given
    by their descriptions, as the checkpoint holds them.

    Args:
        encoder: Images (N, C, H, W) to latents.
        decoder: Latents to logits (N, C, H, W).
        noise: What training corrupts its input with.
        reference_noise: What evaluation corrupts its input with.
        noise_seed: Seed of the reference noise.
        optimizer: Builds the optimizer from the parameters.
        scheduler: Builds the learning rate schedule from the optimizer and the number of steps.
    """

    stage = "dae"

    def __init__(
        self,
        encoder: nn.Module | Description,
        decoder: nn.Module | Description,
        noise: Noise | Description,
        reference_noise: Noise | Description,
        noise_seed: int,
        optimizer: OptimizerFactory | Description,
        scheduler: ScheduleFactory | Description,
    ) -> None:
        # PSNR as one value per image, then their mean: what it means in the denoising literature.
        measured = {name: ImageMean() for name in METRICS["dae"]}
        super().__init__(optimizer, scheduler, {"loss": Mean()}, measured)
        self.encoder = built(encoder, "encoder")
        self.decoder = built(decoder, "decoder")
        self.noise = cast(Noise, built(noise, "noise"))
        self.reference_noise = cast(Noise, built(reference_noise, "reference_noise"))
        self.noise_seed = noise_seed

    def forward(self, images: Tensor) -> Tensor:
        """Images in [0, 1] to the logits of their reconstruction, in float32 whatever computed them."""
        return self.decoder(self.encoder(images)).float()

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The loss of one batch. Only the metric object hears of it: logging waits for the epoch's end."""
        images, _ = batch
        loss = binary_cross_entropy(self(self.noise(images)), images)
        self.train_metrics["loss"].update(loss, len(images))
        return loss

    def on_validation_epoch_start(self) -> None:
        """Seed the reference noise, so that each evaluation draws the same."""
        self.generator = torch.Generator(self.device).manual_seed(
            derive_seed("reference noise", self.noise_seed)
        )

    def validation_step(self, batch: Batch, batch_index: int) -> dict[str, Tensor]:
        """Measure one batch.

        Returns:
            For callbacks: the ``noisy`` images, the ``logits`` of their reconstruction, and the
            ``clean_logits`` of that of the clean images.
        """
        images, _ = batch
        logits = self(images)
        noisy = self.reference_noise.corrupt(images, self.generator)
        noisy_logits = self(noisy)
        # round(prediction) == target, which a grey target can never win.
        hits = ((logits > 0) == images).float()
        reconstruction = noisy_logits.sigmoid()
        squared_errors = (reconstruction - images).square().flatten(1).mean(1)
        self.eval_metrics["loss"].update(image_losses(logits, images))
        self.eval_metrics["pixel_accuracy"].update(hits.flatten(1).mean(1))
        self.eval_metrics["noisy_loss"].update(image_losses(noisy_logits, images))
        self.eval_metrics["psnr"].update(-10 * squared_errors.clamp(min=LEAST_ERROR).log10())
        self.eval_metrics["ssim"].update(structural_similarity(reconstruction, images))
        return {"noisy": noisy, "logits": noisy_logits, "clean_logits": logits}

    on_test_epoch_start = on_validation_epoch_start
    test_step = validation_step
