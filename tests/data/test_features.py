from __future__ import annotations

import pytest
import torch
from torch import nn

from dae.data import features
from dae.data.features import FeatureDataModule, Layout
from dae.errors import UserError
from dae.models.networks import ConvEncoder
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
    monkeypatch.setattr(features, "free_memory", lambda device: 0)
    anew = train(*arguments, place="anew")
    assert kept.exit_code == anew.exit_code == 0
    assert "computed anew for each batch" in anew.out
    assert "computed anew" not in kept.out
    one, other = (read(done.folder / "classifier" / "best.ckpt").tensors for done in (kept, anew))
    assert content_hash(one) == content_hash(other)
    assert kept.result["metrics"] == anew.result["metrics"]


def test_the_frozen_blocks_see_each_image_once(train: Train, monkeypatch):
    seen = watch_frozen_blocks(monkeypatch)
    train(*STAGE_2, "classifier.epochs=5", "data.validation=test")
    # 1,437 to train on and 360 to validate and to test, whatever the epochs; the rest asks for the shape.
    asked = [number for number in seen if number == 2]
    assert sum(seen) - sum(asked) == 1437 + 360
    assert len(asked) < 10


@pytest.mark.parametrize(
    ("features", "order"),
    [
        (torch.rand(3, 4, 5, 6), (0, 1, 2)),
        (torch.rand(3, 4, 5, 6).contiguous(memory_format=torch.channels_last), (1, 2, 0)),
        (torch.rand(3, 6, 4, 5).transpose(1, 2), (1, 0, 2)),
        (torch.rand(3, 7), (0,)),
        (torch.rand(6, 9)[::2, ::3], (0,)),
        (torch.rand(3, 4, 1).expand(-1, -1, 5), (0, 1)),
    ],
)
def test_features_become_rows_in_the_order_in_memory_and_back(features: torch.Tensor, order: tuple[int, ...]):
    layout = Layout.of(features)
    rows = layout.rows(features)
    assert layout.order == order
    assert rows.shape == (3, features[0].numel())
    assert torch.equal(layout.features(rows.clone()), features)


def test_the_rows_of_an_encoder_are_its_features_as_they_lie():
    features = ConvEncoder().blocks[:2](torch.rand(8, 1, 28, 28))
    layout = Layout.of(features)
    rows = layout.rows(features)
    assert rows.data_ptr() == features.data_ptr(), "copied"
    assert layout.features(rows.clone()).is_contiguous(memory_format=torch.channels_last)


def test_free_memory():
    assert 10**8 < features.free_memory(torch.device("cpu")) < 10**14


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


def test_looking_at_an_encoder_leaves_its_buffers_alone():
    from types import SimpleNamespace

    from dae.run import latent_shape

    class Normalised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.blocks(images)

    encoder = Normalised()
    before = content_hash(encoder.state_dict())
    assert latent_shape(encoder, SimpleNamespace(channels=1, image_size=28)) == (4, 26, 26)  # type: ignore[arg-type]
    assert content_hash(encoder.state_dict()) == before


def test_where_nothing_is_frozen_the_images_stay_bytes(train: Train, monkeypatch):
    monkeypatch.setattr(FeatureDataModule, "ready", None)
    for preset in ("supervised", "mlp"):
        assert train(*SMOKE, f"classifier={preset}", place=preset).exit_code == 0
