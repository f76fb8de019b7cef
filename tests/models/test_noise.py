from __future__ import annotations

import pytest
import torch
from torch import Generator

from dae.models.noise import Block, Dropout, Gaussian, Mask, Noise, NoNoise, SaltPepper

ALL: list[Noise] = [Dropout(0.3), Mask(0.3), Gaussian(0.2), SaltPepper(0.3), Block(8), NoNoise()]
GREY = torch.full((64, 1, 28, 28), 0.5)


@pytest.mark.parametrize("noise", ALL, ids=lambda noise: type(noise).__name__)
def test_noise_in_training_only(noise):
    noise.train()
    assert torch.equal(noise(GREY), GREY) == isinstance(noise, NoNoise)
    noise.eval()
    assert noise(GREY) is GREY


@pytest.mark.parametrize("noise", ALL, ids=lambda noise: type(noise).__name__)
def test_a_generator_decides_the_noise_and_the_image_stays(noise):
    before = GREY.clone()
    one, same, other = (noise.corrupt(GREY, Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert torch.equal(one, other) == isinstance(noise, NoNoise)
    assert torch.equal(GREY, before)
    assert one.shape == GREY.shape


def test_dropout_keeps_the_mean_and_scales_survivors():
    noisy = Dropout(0.2).corrupt(GREY, Generator().manual_seed(0))
    assert noisy.unique().tolist() == [0.0, pytest.approx(0.625)]
    assert (noisy == 0).float().mean() == pytest.approx(0.2, abs=0.01)
    assert noisy.mean() == pytest.approx(0.5, abs=0.01)


def test_mask_does_not_scale():
    noisy = Mask(0.2).corrupt(GREY, Generator().manual_seed(0))
    assert set(noisy.unique().tolist()) == {0.0, 0.5}
    assert (noisy == 0).float().mean() == pytest.approx(0.2, abs=0.01)


def test_gaussian_has_its_deviation_and_stays_in_range():
    noisy = Gaussian(0.1).corrupt(GREY, Generator().manual_seed(0))
    assert noisy.std() == pytest.approx(0.1, rel=0.02)
    wild = Gaussian(5.0).corrupt(GREY)
    assert wild.min() == 0
    assert wild.max() == 1


def test_salt_and_pepper_come_alike():
    noisy = SaltPepper(0.3).corrupt(GREY, Generator().manual_seed(0))
    assert (noisy == 0).float().mean() == pytest.approx(0.15, abs=0.01)
    assert (noisy == 1).float().mean() == pytest.approx(0.15, abs=0.01)
    assert (noisy == 0.5).float().mean() == pytest.approx(0.7, abs=0.01)


def test_block_is_one_whole_square_anywhere():
    images = torch.ones(2000, 3, 12, 12)
    noisy = Block(5).corrupt(images, Generator().manual_seed(0))
    gone = noisy == 0
    assert (gone.sum((2, 3)) == 25).all()
    assert torch.equal(gone[:, 0], gone[:, 2])
    rows = gone[:, 0].any(2).float()
    assert (rows.sum(1) == 5).all()
    # Every place is reached, the corners too.
    assert gone[:, 0].any(0).all()
    assert torch.equal(Block(12).corrupt(images), torch.zeros_like(images))
