from __future__ import annotations

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dae.models.autoencoder import DenoisingAutoencoder
from dae.models.networks import ConvDecoder, ConvEncoder
from dae.models.noise import Dropout, NoNoise
from dae.models.optimization import constant


def autoencoder(encoder: nn.Module | None = None, decoder: nn.Module | None = None) -> DenoisingAutoencoder:
    return DenoisingAutoencoder(
        encoder=encoder or ConvEncoder(),
        decoder=decoder or ConvDecoder(),
        noise=Dropout(0.5),
        reference_noise=Dropout(0.2),
        noise_seed=0,
        optimizer=partial(torch.optim.Adam, lr=1e-3),
        scheduler=constant,
    )


def test_state_dict_holds_encoder_and_decoder_and_nothing_else():
    module = autoencoder()
    assert {name.split(".")[0] for name in module.state_dict()} == {"encoder", "decoder"}
    assert sum(p.numel() for p in module.parameters()) == 16_833


def test_the_target_is_the_clean_image_and_the_input_is_not():
    seen: list[torch.Tensor] = []

    class Spy(nn.Identity):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            seen.append(inputs)
            return inputs

    module = autoencoder(Spy(), nn.Identity())
    images = torch.rand(4, 1, 28, 28)
    torch.manual_seed(0)
    loss = module.training_step((images, torch.zeros(4)), 0)
    (noisy,) = seen
    assert (noisy == 0).float().mean() == pytest.approx(0.5, abs=0.05)
    assert loss.item() == pytest.approx(F.binary_cross_entropy_with_logits(noisy, images).item())
    module.eval()
    seen.clear()
    module.on_validation_epoch_start()
    module.validation_step((images, torch.zeros(4)), 0)
    clean, reference = seen
    assert clean is images, "no noise at evaluation"
    assert (reference == 0).float().mean() == pytest.approx(0.2, abs=0.05)


def test_metrics_by_their_definitions():
    module = autoencoder(nn.Identity(), nn.Identity()).eval()
    module.reference_noise = NoNoise()
    torch.manual_seed(1)
    batches = [torch.rand(5, 1, 16, 16).round(decimals=1), torch.rand(3, 1, 16, 16).round()]
    module.on_validation_epoch_start()
    for images in batches:
        module.validation_step((images, torch.zeros(len(images))), 0)
    values = {name: value.item() for name, value in module.eval_metrics.compute().items()}
    images = torch.cat(batches)  # identity: the logits are the images
    assert values["loss"] == pytest.approx(F.binary_cross_entropy_with_logits(images, images).item())
    assert values["loss"] == pytest.approx(values["noisy_loss"])
    assert values["pixel_accuracy"] == pytest.approx(
        (images.sigmoid().round() == images).float().mean().item()
    )
    errors = (images.sigmoid() - images).square().mean((1, 2, 3))
    assert values["psnr"] == pytest.approx((-10 * errors.log10()).mean().item(), rel=1e-5)
    assert 0 < values["ssim"] < 1


def test_untrained_loss_is_that_of_a_coin():
    """At logits near 0 the cross-entropy is log 2 whatever the target: the unit is nats a pixel."""
    torch.manual_seed(0)
    loss = autoencoder().training_step((torch.rand(8, 1, 28, 28), torch.zeros(8)), 0)
    assert loss.item() == pytest.approx(math.log(2), abs=0.05)
