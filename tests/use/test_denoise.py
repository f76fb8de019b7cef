from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import dae
from dae.cli import main
from dae.data.image_file import Preprocessing
from dae.use.denoise import as_a_whole, by_channels, tiled
from dae.use.models import TrainedModel
from helpers import draw_images
from outcome import BRIEF


class Logits(nn.Module):
    """A decoder of which the images are a function of what the network was given."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        return torch.logit(self.function(images), 1e-7)


def model(function: Any, side: int = 12, channels: int = 1, fit: str = "pad") -> TrainedModel:
    how = Preprocessing(side, channels, fit, "black")  # type: ignore[arg-type]
    source: Any = SimpleNamespace(preprocessing=how, classes=())
    return TrainedModel("autoencoder", source, encoder=nn.Identity(), decoder=Logits(function))


@pytest.mark.parametrize("side", [1, 5, 12])
@pytest.mark.parametrize("size", [(1, 1), (2, 7), (11, 12), (30, 13), (24, 25)])
def test_the_tiles_of_an_image_are_that_image(side, size):
    image = torch.rand(1, 3, *size)
    assert torch.allclose(tiled(model(lambda tiles: tiles, side), image), image, atol=1e-4)


ALONG = torch.linspace(-1, 1, 12)
WRONG = {"slope": ALONG[:, None] + 2 * ALONG, "dark_border": -(ALONG[:, None] ** 2 + ALONG**2)}
GRADIENT = (torch.linspace(0.3, 0.7, 60)[:, None] + torch.linspace(-0.1, 0.1, 70))[None, None]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("image", [torch.full((1, 1, 60, 70), 0.5), GRADIENT], ids=["constant", "gradient"])
def test_no_seams_by_a_network_that_differs_within_its_tile(wrong, image):
    made = tiled(model(lambda tiles: tiles + 0.05 * WRONG[wrong]), image)[0]
    for axis in (1, 2):
        steps = made.diff(dim=axis).abs().amax(dim=3 - axis)[0]
        at = torch.arange(1, made.shape[axis]) % 6 == 0
        assert steps[at].max() <= steps[~at].max() + 1e-5


def test_an_image_as_a_whole_is_seen_as_in_training(tmp_path):
    """Padded to a square where it was padded, and given back in its own size."""
    seen: list[Tensor] = []

    def look(images: Tensor) -> Tensor:
        seen.append(images)
        return images

    pixels = np.random.default_rng(0).integers(60, 256, (20, 40), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for fit in ("pad", "stretch"):
        network = model(look, 12, fit=fit)
        made = as_a_whole(network, torch.from_numpy(pixels)[None, None] / 255)
        assert made.shape == (1, 1, 20, 40)
        assert (seen[-1] - network.preprocess(tmp_path / "a.png")).abs().max() < 0.02
    whole = torch.rand(1, 1, 12, 12)
    assert torch.allclose(as_a_whole(model(lambda images: images), whole), whole, atol=1e-5)


def test_colours_through_a_network_for_grey_and_the_other_way_round():
    grey, colour = torch.rand(2, 1, 12, 12), torch.rand(2, 3, 12, 12)
    assert torch.allclose(by_channels(model(lambda images: images / 2), colour), colour / 2, atol=1e-5)
    thirds = torch.tensor([0.0, 0.5, 1.0])[:, None, None]
    made = by_channels(model(lambda images: images * thirds, channels=3), grey)
    assert torch.allclose(made, grey / 2, atol=1e-5)


def test_denoise_by_a_run(finished, capsys, monkeypatch, tmp_path):
    run = str(finished(*BRIEF).folder)
    monkeypatch.chdir(tmp_path)
    draw_images(tmp_path / "in" / "sub", 2, (30, 40))
    draw_images(tmp_path / "in", 1, (20, 20), "L")
    assert main(["denoise", run, "in", "--out", "out"]) == 0
    said = capsys.readouterr()
    assert sorted(said.out.split()) == ["out/000.png", "out/sub/000.png", "out/sub/001.png"]
    assert said.err.startswith("Trained against Dropout p 0.2, on images of 28 x 28")
    made, before = (np.asarray(Image.open(f"{folder}/000.png")).astype(int) for folder in ("out", "in"))
    assert made.shape == (20, 20)
    assert np.abs(made - before).max() > 5, "no copy"
    assert np.asarray(Image.open("out/sub/001.png")).shape == (40, 30, 3)
    small = Image.fromarray(np.arange(784, dtype=np.uint8).reshape(28, 28))
    small.save("28.png")
    assert main(["denoise", run, "28.png", "--out", "same"]) == 0
    network = dae.load_autoencoder(run)
    expected = (network(network.preprocess("28.png"))[0, 0] * 255).round()
    assert np.abs(np.asarray(Image.open("same/28.png")) - expected.numpy()).max() <= 1, "as Python gives it"
    draw_images(tmp_path / "large", 1, (100, 57))
    assert main(["denoise", run, "large", "--out", "new"]) == 2
    words = "large/000.png: its 100 x 57 pixels are far more than the 28 x 28 of the training"
    assert f"{words}\n      --tiles" in capsys.readouterr().err
    assert main(["denoise", run, "in", "large", "--out", "new"]) == 2
    assert not (tmp_path / "new").exists(), "before anything is written"
    for way in ("tiles", "resize"):
        assert main(["denoise", run, "large", "--out", way, f"--{way}"]) == 0
        assert Image.open(f"{way}/000.png").size == (100, 57)
    assert main(["denoise", f"{run}/classifier/best.ckpt", "in", "--out", "other"]) == 1
    assert "holds no decoder; expected a checkpoint of stage 1" in capsys.readouterr().err
