from __future__ import annotations

from typing import Any

import torch
from torch import nn

from dae.models.networks import ConvDecoder, ConvEncoder
from dae.pictures.filters import COLUMNS, activations, channels, draw_filters, filter_tiles
from helpers import ONE_PASS, events
from outcome import Train


class Network(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = ConvDecoder()

    def forward(self, images):
        return self.decoder(self.encoder(images))


def test_every_layer_in_its_order():
    network = Network(ConvEncoder())
    images = torch.rand(2, 1, 28, 28)
    found = activations(network, images)  # type: ignore[arg-type]
    blocks = {
        f"encoder.blocks.{index}": size for index, size in enumerate([(32, 14, 14), (16, 7, 7), (16, 4, 4)])
    }
    convs = {
        f"decoder.convs.{index}": size
        for index, size in enumerate([(16, 4, 4), (16, 8, 8), (32, 14, 14), (1, 28, 28)])
    }
    assert {name: tuple(maps.shape) for name, maps in found.items()} == blocks | convs
    assert list(found) == [*blocks, *convs]
    with torch.no_grad():
        assert torch.allclose(found["encoder.blocks.2"], network.encoder(images)[0])
        assert torch.allclose(found["decoder.convs.3"], network(images)[0])
    assert not any(layer._forward_hooks for layer in network.modules())


def test_an_encoder_without_blocks():
    encoder = nn.Sequential(nn.Conv2d(1, 16, 7, stride=7), nn.ReLU())
    found = activations(Network(encoder), torch.rand(1, 1, 28, 28))  # type: ignore[arg-type]
    assert found["encoder.0"].shape == (16, 4, 4)


def test_a_full_row_of_tiles_whatever_their_number():
    maps = torch.rand(40, 4, 4)
    assert channels(maps).shape == channels(maps[:1]).shape
    assert len(filter_tiles(torch.rand(3, 3, 28, 28))) == COLUMNS
    assert channels(-maps).max() <= 1


def test_filters_by_sign():
    encoder = ConvEncoder()
    conv: Any = encoder.get_submodule("blocks.0.conv")
    pictures = []
    for sign in (1, -1):
        nn.init.constant_(conv.weight, sign * 0.3)
        picture = draw_filters(encoder)
        pictures.append(picture[:, picture.shape[1] // 3, picture.shape[2] // 2].tolist())
    positive, negative = pictures
    assert positive[0] > positive[2], "orange"
    assert negative[2] > negative[0], "purple"


def test_filters_of_colour_images_and_none_at_all():
    draw_filters(ConvEncoder(in_channels=3))
    picture = draw_filters(nn.Linear(4, 4))
    assert picture.shape[1] < 120, "a note"


def test_pictures(train: Train):
    done = train(
        "stage=dae",
        "data=digits",
        "data.limit=64",
        *ONE_PASS,
        "dae.epochs=3",
        "callbacks=filters",
        "callbacks.filters.every_n_epochs=2",
    )
    found = events(done.folder / "dae")
    for name in ("filters", "activations"):
        assert (done.folder / "dae" / f"{name}.png").is_file()
        assert [image.step for image in found.Images(f"pictures/dae/{name}")] == [2, 3]
