from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dae.data.image_file import Preprocessing
from dae.models.networks import ConvDecoder, ConvEncoder
from dae.use.denoise import denoised
from dae.use.models import Autoencoder
from dae.use.tiling import strips


class Logits(nn.Module):
    """A decoder of which the images are a function of what the network was given."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        return torch.logit(self.function(images), 1e-7)


def model(function: Any, side: int = 12, channels: int = 1, fit: str = "pad") -> Autoencoder:
    how = Preprocessing(side, channels, fit, "black")  # type: ignore[arg-type]
    source: Any = SimpleNamespace(preprocessing=how, classes=())
    return Autoencoder(nn.Identity(), Logits(function), source)


class Copies:
    """A function that copies, and remembers what it was given."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def __call__(self, tiles: Tensor) -> Tensor:
        self.seen.append(tiles)
        return tiles


@pytest.mark.parametrize("side", [1, 5, 12])
@pytest.mark.parametrize("size", [(1, 1), (2, 7), (11, 12), (30, 13), (24, 25)])
def test_the_tiles_of_an_image_are_that_image(side, size):
    image = torch.rand(3, *size)
    found = list(strips(lambda tiles: tiles, image, side))
    assert torch.allclose(torch.cat(found, 1), image, atol=1e-6)
    assert max(strip.shape[1] for strip in found) <= max(1, side // 2)


ALONG = torch.linspace(-1, 1, 12)
WRONG = {
    "slope": ALONG[:, None] + 2 * ALONG,
    "dark_border": -(ALONG[:, None] ** 2 + ALONG**2),
}
IMAGES = {
    "constant": torch.full((1, 60, 70), 0.5),
    "gradient": (torch.linspace(0.3, 0.7, 60)[:, None] + torch.linspace(-0.1, 0.1, 70))[None],
}


def steps_at_and_off_borders(made: Tensor, every: int) -> list[tuple[float, float]]:
    found = []
    for axis in (1, 2):
        steps = made.diff(dim=axis).abs().amax(dim=3 - axis)[0]
        at = torch.arange(1, made.shape[axis]) % every == 0
        found.append((float(steps[at].max()), float(steps[~at].max())))
    return found


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("image", IMAGES)
def test_no_seams_by_a_network_that_differs_within_its_tile(wrong, image):
    function = model(lambda tiles: tiles + 0.05 * WRONG[wrong])
    made = denoised(function, IMAGES[image])
    for at, off in steps_at_and_off_borders(made, 6):
        assert at <= off + 1e-5
    # Tiles laid side by side have seams that this sees.
    grid = IMAGES[image] + 0.05 * WRONG[wrong].repeat(5, 6)[:, :70]
    assert wrong == "dark_border" or max(at - off for at, off in steps_at_and_off_borders(grid, 12)) > 0.03


def test_no_seams_by_a_real_network():
    torch.manual_seed(0)
    source: Any = SimpleNamespace(preprocessing=Preprocessing(28, 1), classes=())
    network = Autoencoder(ConvEncoder(), ConvDecoder(), source)
    for image in IMAGES.values():
        for at, off in steps_at_and_off_borders(denoised(network, image), 14):
            assert at <= off + 1e-5


def test_an_image_of_the_size_of_the_network_goes_through_it_whole():
    image, copies = torch.rand(1, 12, 12), Copies()
    made = denoised(model(copies), image)
    assert torch.allclose(made, image, atol=1e-6)
    assert [len(tiles) for tiles in copies.seen] == [1]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int32])
def test_the_type_and_the_size_stay(dtype):
    top = 255 if dtype == torch.uint8 else 65535
    image = torch.from_numpy(np.random.default_rng(0).integers(1, top, (1, 20, 31))).to(dtype)
    shares: list[float] = []
    made = denoised(model(lambda tiles: tiles), image, top, told=shares.append)
    assert made.dtype == dtype
    assert (made.long() - image.long()).abs().max() <= 1
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_channels():
    colour = torch.stack([torch.full((30, 40), value) for value in (0.2, 0.5, 0.8)])
    by_itself = denoised(model(lambda tiles: 1 - tiles), colour)
    assert torch.allclose(by_itself, 1 - colour, atol=1e-5)
    turned = denoised(model(lambda tiles: tiles.flip(1), channels=3), colour)
    assert torch.allclose(turned, colour.flip(0), atol=1e-5)
    grey = denoised(
        model(lambda tiles: tiles * torch.tensor([0.2, 0.5, 0.8])[:, None, None], channels=3), colour[2:]
    )
    assert grey.shape == (1, 30, 40)
    assert torch.allclose(grey, torch.full_like(grey, 0.4), atol=1e-5)


@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_resized_and_back(fit):
    """All of the image at once, on a ground like that of the training."""
    copies = Copies()
    image = (torch.linspace(0.2, 0.8, 40)[:, None] + torch.zeros(20))[None]
    made = denoised(model(copies, fit=fit), image, resize=True)
    assert made.shape == image.shape
    assert (made - image).abs().max() < 0.03
    (tile,) = copies.seen
    assert tile.shape == (1, 1, 12, 12)
    assert (tile[..., 0].max() == 0) == (fit == "pad")


def test_a_denoiser_brings_an_image_nearer_to_the_clean_one():
    """A mean over neighbours is one; what copies its input is none."""
    clean = (torch.linspace(0, 1, 50)[:, None] * torch.linspace(0, 1, 60))[None]
    noisy = (clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)

    def mean(tiles: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(tiles, 3, 1, 1, count_include_pad=False)

    def error(made: Tensor) -> float:
        return float((made - clean).square().mean())

    assert error(denoised(model(mean), noisy)) < 0.3 * error(noisy)
