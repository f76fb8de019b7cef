from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dae.config.building import build
from dae.metrics import NOISE_LEVELS
from dae.models.autoencoder import DenoisingAutoencoder
from dae.models.noise import Block, Dropout, Gaussian, Mask, Noise, NoNoise, SaltPepper
from dae.pictures import robustness
from dae.pictures.robustness import Curve, Kind, measure, noise_kinds, noisy_images, psnr_and_ssim
from dae.runs.checkpoint import load_encoder, read
from helpers import ONE_PASS, composed, events
from outcome import Train

QUICK = (
    "stage=dae",
    "data=digits",
    "data.limit=64",
    *ONE_PASS,
    "dae.epochs=1",
    "callbacks=robustness",
)


class Speckle(Noise):
    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def corrupt(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return images


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Curve]]:
    """The clean images and the curve of each kind."""
    seen: list[tuple[Tensor, Curve]] = []

    def spy(module, kind, clean):
        seen.append((clean, measure(module, kind, clean)))
        return seen[-1][1]

    monkeypatch.setattr(robustness, "measure", spy)
    return seen


def test_every_kind_and_the_trained_one_first_at_its_own_level_too():
    found = noise_kinds(Gaussian(0.25), side=28)
    assert {kind.noise for kind in found} == {Dropout, Gaussian, Mask, SaltPepper, Block}
    assert found[0].noise is Gaussian
    assert 0.25 in found[0].levels
    assert [kind.name for kind in found].count("gaussian") == 1
    assert [kind.name for kind in noise_kinds(NoNoise(), 28)] == [
        "dropout",
        "gaussian",
        "mask",
        "salt_pepper",
        "block",
    ]
    own, *others = noise_kinds(Speckle(0.4), 28)
    assert (own.name, own.level, list(own.levels)) == ("speckle", "strength", [0.2, 0.4, 0.6, 0.8])
    assert len(others) == 5


@pytest.mark.parametrize("side", [8, 28, 64])
def test_blocks_fit_into_the_image(side):
    levels = noise_kinds(Dropout(0.2), side)[-1].levels
    assert all(isinstance(level, int) and 1 <= level <= side for level in levels)


def test_quality_by_hand():
    clean = torch.full((2, 1, 8, 8), 0.5)
    psnr, ssim = psnr_and_ssim(clean + 0.1, clean).tolist()
    assert psnr == pytest.approx(20, abs=1e-4)  # 10 log10(1 / 0.1 ** 2)
    assert ssim < 1
    # The mean is over images, and one that is left as it is does not make it infinite.
    mixed = clean.clone()
    mixed[0] += 0.1
    assert psnr_and_ssim(mixed, clean)[0] == pytest.approx((20 + 60) / 2, abs=1e-4)
    assert psnr_and_ssim(clean, clean)[1] == pytest.approx(1)
    many, other = torch.rand(2, 300, 1, 8, 8)
    one_by_one = torch.stack([psnr_and_ssim(many[[n]], other[[n]]) for n in range(300)]).mean(0)
    assert torch.allclose(psnr_and_ssim(many, other), one_by_one, atol=1e-4)


def test_the_same_noise_whatever_was_drawn_before():
    clean, kind = torch.full((3, 1, 8, 8), 0.5), Kind(Gaussian, "std", (0.3,))
    first = noisy_images(kind, 0.3, clean, 0)
    torch.rand(5)
    assert torch.equal(first, noisy_images(kind, 0.3, clean, 0))
    assert not torch.equal(first, noisy_images(kind, 0.3, clean, 1))


def test_psnr_at_the_default_level_of_each_kind_is_a_metric_of_each_image(train: Train):
    done = train(*QUICK, "callbacks.robustness.images=20", "logger=none", "dae/noise=none")
    tested = json.loads((done.folder / "dae" / "test.json").read_text())
    measured = {name: value for name, value in done.result["metrics"].items() if "/test/psnr_" in name}
    assert measured.keys() == {f"dae/test/psnr_{kind}" for kind in NOISE_LEVELS}
    for name, value in measured.items():
        each = tested[name.rpartition("/")[2]]
        assert len(each) == 20
        assert value == pytest.approx(sum(each) / len(each), rel=1e-5)

    data = build(composed(*QUICK).data)
    data.setup()
    clean = data.test.images[:20].float() / 255
    network = DenoisingAutoencoder(
        encoder=load_encoder(done.folder, [])[0],
        **{name: build(composed().dae[name]) for name in ("decoder", "noise", "reference_noise")},
        noise_seed=0,
        optimizer=None,  # type: ignore[arg-type]
        scheduler=None,  # type: ignore[arg-type]
    )
    network.load_state_dict(read(done.folder / "dae" / "best.ckpt").tensors)
    with torch.no_grad():
        noisy = noisy_images(Kind(Gaussian, "std", (0.3,)), 0.3, clean, 0)
        errors = (network.eval()(noisy).sigmoid() - clean).square().flatten(1).mean(1)
    assert measured["dae/test/psnr_gaussian"] == pytest.approx(float(-10 * errors.log10().mean()), rel=1e-4)


def test_curves_in_tensorboard_on_the_same_noise_in_every_run(train: Train, measured):
    few = ("dae/noise=block", "callbacks.robustness.images=20")
    folder = train(*QUICK, *few, place="a").folder
    one = list(measured)
    measured.clear()
    train(*QUICK, *few, "seed=3", "logger=none", place="b")
    assert len(one) == len(measured) == 5
    for (clean, curve), (again, other) in zip(one, measured, strict=True):
        assert torch.equal(clean, again)
        assert torch.equal(curve.noisy, other.noisy)
        assert not torch.equal(curve.reconstruction, other.reconstruction)
    assert np.asarray(Image.open(folder / "dae" / "robustness.png")).std() > 0
    measured[:] = one
    found = events(folder / "dae")
    assert measured[0][0].shape[0] == 20
    for clean, curve in measured:
        for index, metric in enumerate(("psnr", "ssim")):
            lines = {"reconstruction": curve.reconstruction, "noisy_input": curve.noisy}
            for line, values in lines.items():
                points = found.Scalars(f"result/dae/robustness_{metric}/{curve.kind.name}/{line}")
                expected = values[:, index].tolist()
                assert [point.value for point in points] == pytest.approx(expected)
                scale = 1 if curve.kind.noise is Block else 100
                assert [point.step for point in points] == [
                    round(scale * level) for level in curve.kind.levels
                ]
        level = curve.kind.levels[0]
        by_hand = psnr_and_ssim(noisy_images(curve.kind, level, clean, 0).clamp(0, 1), clean)
        assert torch.equal(curve.noisy[0], by_hand)
        assert (curve.noisy.diff(dim=0) < 0).all(), "more noise, less quality"
    assert 8 in measured[0][1].kind.levels
    assert len(found.Images("pictures/result/dae/robustness")) == 1
