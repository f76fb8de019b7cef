from __future__ import annotations

import pytest
import torch
from torch import nn

from dae.models.networks import ConvDecoder, ConvEncoder
from dae.models.resnet import ResNetDecoder, ResNetEncoder


@pytest.mark.parametrize(("side", "latent"), [(9, 2), (12, 2), (28, 4), (30, 4), (33, 5), (64, 8)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_latent_and_back_for_any_side(side, latent, channels):
    encoder = ResNetEncoder(channels, side, (4, 6, 8), depth=2)
    latents = encoder(torch.rand(2, channels, side, side))
    assert latents.shape[1:] == encoder.latent_shape == (8, latent, latent)
    decoder = ResNetDecoder(channels, side, (4, 6, 8), depth=2, latent_shape=encoder.latent_shape)
    assert isinstance(decoder.spread, nn.Identity)
    assert decoder(latents).shape == (2, channels, side, side)


@pytest.mark.parametrize("channels", [1, 3])
def test_its_blocks_are_all_that_it_does(channels):
    """So that a classifier may freeze the first ones."""
    encoder = ResNetEncoder(channels).eval()
    images = torch.rand(2, channels, 28, 28)
    assert torch.equal(nn.Sequential(*encoder.blocks)(images), encoder(images))


def test_either_decoder_takes_the_latent_of_either_encoder():
    images = torch.rand(2, 1, 28, 28)
    for widths in ((4,), (4, 6), (4, 6, 8, 8)):
        latents = ResNetEncoder(widths=widths)(images)
        decoder = ConvDecoder(widths=widths, latent_shape=latents.shape[1:])
        assert decoder(latents).shape == images.shape
    latents = ConvEncoder()(images)
    assert ResNetDecoder(widths=(32, 16, 16), latent_shape=latents.shape[1:])(latents).shape == images.shape
    assert ResNetDecoder(latent_shape=latents.shape[1:])(latents).shape == images.shape
