from __future__ import annotations

import re

import pytest
import torch

from dae.config.building import build
from dae.models.autoencoder import DenoisingAutoencoder
from dae.models.networks import ConvBlock
from dae.pictures.latent import (
    dead_units,
    describe_units,
    draw_latents,
    interpolations,
    principal_axes,
    saturated_units,
    sprites,
)
from helpers import ONE_PASS, composed, events
from outcome import Train

QUICK = (
    "stage=dae",
    "data=digits",
    "data.limit=64",
    *ONE_PASS,
    "dae.epochs=1",
    "callbacks=latent",
)


def latents() -> torch.Tensor:
    found = torch.rand(6, 4, 2, 2) + 0.1
    found[:, 1] = 0
    found[:, 2, 0, 1] = 0
    found[:, 3, 1, 1] = 5.0
    return found


def test_dead_and_saturated_units_are_counted():
    dead, same = dead_units(latents()), saturated_units(latents())
    one, two = describe_units(dead, same).split("; ")
    assert one == "5 of 16 units are dead (0 for each image)"
    assert two == "1 of 16 units are saturated (one value for each image)"
    alive = torch.rand(6, 4, 2, 2)
    assert describe_units(dead_units(alive), saturated_units(alive)) == ""


def test_principal_axes_of_a_plane():
    turned, _ = torch.linalg.qr(torch.randn(5, 5))
    plane = torch.randn(40, 2) * torch.tensor([5.0, 1.0])
    flat, share = principal_axes(plane @ turned[:2] + 3)
    assert share == pytest.approx(1)
    assert torch.allclose(torch.pdist(flat), torch.pdist(plane), atol=1e-4)
    assert flat[:, 0].std() > flat[:, 1].std()
    again, _ = principal_axes(plane @ turned[:2] + 3)
    assert torch.equal(flat, again)
    assert principal_axes(torch.zeros(3, 4))[0].shape == (3, 2)
    assert principal_axes(torch.rand(1, 4))[0].shape == (1, 2)


def test_latents_that_are_not_finite_are_drawn_as_such():
    broken = latents()
    broken[0, 0] = float("nan")
    draw_latents(broken, torch.arange(6), tuple("abcdef"), "images")


def autoencoder() -> DenoisingAutoencoder:
    cfg = composed()
    parts = {name: build(cfg.dae[name]) for name in ("encoder", "decoder", "noise", "reference_noise")}
    optimizer, scheduler = build(cfg.dae.optimizer), build(cfg.dae.scheduler)
    return DenoisingAutoencoder(**parts, noise_seed=0, optimizer=optimizer, scheduler=scheduler)


def test_interpolation_begins_and_ends_at_the_images():
    module, images = autoencoder(), torch.rand(4, 1, 28, 28)
    rows = interpolations(module, images, torch.tensor([1, 1, 0, 2]), ("zero", "one", "two"))
    assert list(rows) == ["zero\nto one", "zero\nto one,\npixels"]
    ends = module(images[[2, 0]]).sigmoid()
    assert torch.allclose(rows["zero\nto one"][[0, -1]], ends, atol=1e-5)
    assert torch.equal(rows["zero\nto one,\npixels"][[0, -1]], images[[2, 0]])
    alone = interpolations(module, images, torch.zeros(4, dtype=torch.long), ("zero",))
    assert torch.equal(alone["zero\nto zero,\npixels"][-1], images[3])


def test_sprites_are_small():
    assert sprites(torch.rand(2, 1, 28, 28)).shape[-1] == 28
    assert sprites(torch.rand(2, 3, 256, 256)).shape == (2, 3, 32, 32)


def test_a_dead_channel_is_told(train: Train, monkeypatch: pytest.MonkeyPatch):
    forward = ConvBlock.forward

    def without_channel_3(self: ConvBlock, images: torch.Tensor) -> torch.Tensor:
        made = forward(self, images)
        alive = (torch.arange(made.shape[1], device=images.device) != 3).float()[:, None, None]
        return made * alive

    monkeypatch.setattr(ConvBlock, "forward", without_channel_3)
    done = train(*QUICK)
    assert done.exit_code == 0, done.text
    assert re.search(r"of the latents of 360 test images \d+ of 256 units are dead", done.out)
    found = events(done.folder / "dae")
    for prefix, split in (("", "val"), ("result/", "test")):
        assert found.Scalars(f"{prefix}dae/{split}/latent/dead_channels")[0].value >= 1
        assert found.Scalars(f"{prefix}dae/{split}/latent/dead_units")[0].value >= 16
        (text,) = found.Tensors(f"{prefix}dae/latent_units/text_summary")
        assert b"of 256 units are dead" in text.tensor_proto.string_val[0]


def test_pictures_and_projector(train: Train):
    folder = train(*QUICK, "dae.epochs=2", "callbacks.latent.images=50").folder / "dae"
    assert (folder / "latent.png").is_file()
    assert (folder / "interpolation.png").is_file()
    assert "sprite" in (folder / "projector_config.pbtxt").read_text()
    (tensors,) = folder.glob("*/latent/tensors.tsv")
    assert len(tensors.read_text().splitlines()) == 50
    labels = tensors.with_name("metadata.tsv").read_text().split()
    assert len(labels) == 50
    assert set(labels) <= set("0123456789")
