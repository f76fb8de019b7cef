from __future__ import annotations

import json

import pytest
import torch
from torch import Generator, nn

from dae.config.building import build
from dae.metrics import NOISE_LEVELS
from dae.models.autoencoder import DenoisingAutoencoder
from dae.models.noise import Gaussian
from dae.pictures.robustness import draw_curves, measure, psnr
from dae.runs.checkpoint import load_encoder, read
from dae.seeds import derive_seed
from helpers import ONE_PASS, composed
from outcome import Train

QUICK = ("stage=dae", "data=digits", "data.limit=64", *ONE_PASS, "dae.epochs=1", "callbacks=robustness")


class Small(nn.Module):
    noise_seed, device = 0, torch.device("cpu")

    def forward(self, images):
        return images


def test_quality_by_hand():
    clean = torch.full((2, 1, 8, 8), 0.5)
    assert psnr(clean + 0.1, clean).tolist() == pytest.approx([20, 20], abs=1e-4)  # 10 log10(1 / 0.1 ** 2)
    assert psnr(clean, clean).tolist() == [60, 60], "not infinite"


def test_psnr_at_the_default_level_of_each_kind_is_a_metric_of_each_image(train: Train):
    done = train(*QUICK, "callbacks.robustness.images=20", "logger=none", "dae/noise=none")
    assert (done.folder / "dae" / "robustness.png").is_file()
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
    ).eval()
    network.load_state_dict(read(done.folder / "dae" / "best.ckpt").tensors)
    generator = Generator().manual_seed(derive_seed("robustness", 0, "gaussian", "0.3"))
    with torch.no_grad():
        errors = (
            (network(Gaussian(0.3).corrupt(clean, generator)).sigmoid() - clean).square().flatten(1).mean(1)
        )
    assert measured["dae/test/psnr_gaussian"] == pytest.approx(float(-10 * errors.log10().mean()), rel=1e-4)

    torch.rand(5)  # the same noise whatever was drawn before
    first, second = (measure(Small(), "block", clean[..., :8, :8]) for _ in range(2))  # type: ignore[arg-type]
    assert [*first] == [4, 8], "a block of 16 does not fit"
    assert all(torch.equal(first[level][0], second[level][0]) for level in first)
    assert (
        draw_curves({"block": first, "gaussian": measure(network, "gaussian", clean)}, "images").shape[0] == 3
    )
