from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dae.models.networks import ClassifierHead, ConvBlock, ConvDecoder, ConvEncoder, keras_init

SIDES = [8, 12, 16, 20, 28, 32, 64]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_counts_of_the_notebook():
    assert count(ConvEncoder()) == 7_264
    assert count(ConvDecoder()) == 9_569
    assert count(ConvEncoder().blocks[:2]) == 4_944
    assert count(ClassifierHead(256, 10, 64)) == 24_362 - 7_264
    assert count(ClassifierHead(784, 10, 128)) == 101_770


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_latent_and_back(side, channels):
    encoder = ConvEncoder(channels, side, (8, 6, 4))
    latent = encoder(torch.rand(2, channels, side, side))
    assert latent.shape[1:] == encoder.latent_shape == (4, -(-side // 8), -(-side // 8))
    assert ConvDecoder(channels, side, (8, 6, 4))(latent).shape == (2, channels, side, side)


def plain_encoder(encoder: ConvEncoder, images: Tensor) -> Tensor:
    for block in encoder.blocks:
        assert isinstance(block, ConvBlock)
        images = F.max_pool2d(F.relu(block.conv(images)), 2, ceil_mode=True)
    return images


def plain_decoder(decoder: ConvDecoder, latents: Tensor) -> Tensor:
    first, *others = decoder.convs
    outputs = first(latents)
    for conv in others:
        assert isinstance(conv, nn.Conv2d)
        outputs = F.interpolate(F.relu(outputs), scale_factor=2.0)
        outputs = F.conv2d(outputs, conv.weight, conv.bias, padding=conv.padding)
    return outputs


@pytest.mark.parametrize("side", SIDES)
def test_fast_forms_are_the_plain_ones_with_their_gradients(side):
    """The networks as the notebook writes them: convolution, ReLU, pool; upsample, convolution."""
    torch.manual_seed(side)
    encoder, decoder = ConvEncoder(1, side), ConvDecoder(1, side)
    for parameter in [*encoder.parameters(), *decoder.parameters()]:
        nn.init.normal_(parameter, std=0.1)  # biases too: zeros would hide them
    images = torch.rand(3, 1, side, side)
    parameters = [*encoder.parameters(), *decoder.parameters()]

    fast = decoder(encoder(images))
    plain = plain_decoder(decoder, plain_encoder(encoder, images))
    torch.testing.assert_close(fast, plain, atol=1e-5, rtol=1e-5)

    weights = torch.randn_like(plain)
    for got, wanted in zip(
        torch.autograd.grad((fast * weights).mean(), parameters),
        torch.autograd.grad((plain * weights).mean(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)


def test_keras_initialisation():
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 32, 3)
    keras_init(layer)
    limit = (6 / (9 * 16 + 9 * 32)) ** 0.5
    assert layer.bias is not None
    assert not layer.bias.any()
    assert layer.weight.abs().max() <= limit
    assert layer.weight.abs().max() > 0.98 * limit
    assert layer.weight.std().item() == pytest.approx(limit / 3**0.5, rel=0.03)


def test_encoder_and_decoder_are_modules_of_their_own():
    """As in the notebook: predict latents, then predict images from latents."""
    encoder, decoder = ConvEncoder(), ConvDecoder()
    images = torch.rand(5, 1, 28, 28)
    latents = encoder(images)
    assert latents.flatten(1).shape == (5, 256)
    again = ConvEncoder()
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(decoder(again(images)), decoder(latents))


@pytest.mark.parametrize("latent_shape", [(64,), (7, 5, 5), (4, 14, 14)])
def test_a_decoder_follows_any_latent(latent_shape):
    decoder = ConvDecoder(1, 28, latent_shape=latent_shape)
    assert decoder(torch.rand(2, *latent_shape)).shape == (2, 1, 28, 28)
