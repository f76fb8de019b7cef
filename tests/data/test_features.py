from __future__ import annotations

import pytest
import torch
from torch import nn

from dae.data.images import FeatureDataModule, ImageDataModule
from dae.errors import UserError
from dae.runs.checkpoint import content_hash, read
from helpers import ONE_PASS, SMOKE, watch_frozen_blocks
from outcome import Train

STAGE_2 = (
    "stage=classifier",
    "classifier.encoder=random",
    "data=digits",
    *ONE_PASS,
    "classifier.epochs=2",
    "callbacks=none",
    "logger=none",
    "trainer.precision=32-true",
)


@pytest.mark.parametrize(
    ("classifier", "extra"),
    [("notebook", ()), ("linear", ("data.channels=3", "data.image_size=32", "data.batch_size=50"))],
)
def test_kept_features_give_the_same_classifier_bit_for_bit(train: Train, monkeypatch, classifier, extra):
    arguments = (*STAGE_2, f"classifier={classifier}", "classifier.encoder=random", "data.limit=300", *extra)
    kept = train(*arguments, place="kept")
    monkeypatch.setattr(FeatureDataModule, "inputs", ImageDataModule.inputs)  # a batch of images at a time
    anew = train(*arguments, place="anew")
    assert kept.exit_code == anew.exit_code == 0
    one, other = (read(done.folder / "classifier" / "best.ckpt").tensors for done in (kept, anew))
    assert content_hash(one) == content_hash(other)
    assert kept.result["metrics"] == anew.result["metrics"]


def test_the_frozen_blocks_see_each_image_once(train: Train, monkeypatch):
    seen = watch_frozen_blocks(monkeypatch)
    train(*STAGE_2, "classifier.epochs=5", "data.validation=test")
    assert sum(seen) == 1437 + 360, "to train on, and to validate and to test, whatever the epochs"


def test_an_encoder_that_does_more_than_its_blocks_is_refused():
    from types import SimpleNamespace

    from dae.run import latent_shape

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.Sequential(nn.Identity())

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images + 1

    data = SimpleNamespace(channels=1, image_size=28)
    with pytest.raises(UserError, match=r"Odd\.forward is not its blocks"):
        latent_shape(Odd(), data)  # type: ignore[arg-type]


def test_where_nothing_is_frozen_the_images_stay_bytes(train: Train, monkeypatch):
    monkeypatch.setattr(FeatureDataModule, "inputs", None)
    for preset in ("supervised", "mlp"):
        assert train(*SMOKE, f"classifier={preset}", place=preset).exit_code == 0
