from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from sklearn.linear_model import RidgeClassifier

from dae.config.building import build
from dae.data.images import ImageDataModule
from dae.models.autoencoder import DenoisingAutoencoder
from dae.report.intervals import wilson_interval
from dae.runs.checkpoint import load_encoder, read
from dae.text import format_figure
from dae.training import probe
from helpers import ONE_PASS, Page, composed, events
from outcome import Train

QUICK = (
    "data=digits",
    "data.limit=300",
    *ONE_PASS,
    "dae.epochs=3",
    "classifier.epochs=1",
    "callbacks=probe",
)
BY_PROBE = "objective=dae/val/probe_accuracy"


def by_least_squares(inputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Another way to the same readout: a ridge is so many images more, each with a target of zero."""
    mean, targets = inputs.mean(0), torch.nn.functional.one_hot(labels).double()
    ridge = probe.RIDGE * (inputs - mean).square().sum(0).mean()
    units, classes = inputs.shape[1], targets.shape[1]
    images = torch.cat([inputs - mean, ridge.sqrt() * torch.eye(units, dtype=torch.float64)])
    wanted = torch.cat([targets - targets.mean(0), torch.zeros(units, classes, dtype=torch.float64)])
    weights = torch.linalg.lstsq(images, wanted).solution
    return weights, targets.mean(0) - mean @ weights


def test_a_curve_beside_the_loss_that_decides_the_best_epoch_and_is_tested(train: Train):
    done = train(*QUICK, BY_PROBE, "data.labels=120", "dae.optimizer.lr=0.01")
    assert done.exit_code == 0, done.text
    metrics, folder = done.result["metrics"], done.folder / "dae"
    logged = events(folder)
    curve, loss = (logged.Scalars(f"dae/val/{name}") for name in ("probe_accuracy", "loss"))
    assert [point.step for point in curve] == [point.step for point in loss] == [1, 2, 3]

    best = read(folder / "best.ckpt")
    reached = max(point.value for point in curve)
    assert best.metrics["dae/val/probe_accuracy"] == pytest.approx(reached)
    assert done.result["objective"] == {
        "name": "dae/val/probe_accuracy",
        "mode": "max",
        "value": best.metrics["dae/val/probe_accuracy"],
    }
    assert read(folder / "last.ckpt").metrics["dae/val/probe_accuracy"] == pytest.approx(curve[-1].value)

    # By hand: of the labels that stage 2 may use, and no others.
    data: ImageDataModule = build(composed(*QUICK, "data.labels=120").data)
    data.setup()
    encoder = load_encoder(folder / "best.ckpt", [])[0].eval()

    def latents(split: Any) -> torch.Tensor:
        with torch.no_grad():
            return encoder(split.images.float() / 255).flatten(1).double()

    labelled = data.labelled().train
    assert len(labelled.labels) == 120
    weights, biases = by_least_squares(latents(labelled), labelled.labels)
    for name, split in (("val", data.val), ("test", data.test)):
        said = (latents(split) @ weights + biases).argmax(1)
        right = float((said == split.labels).double().mean())
        assert metrics[f"dae/{name}/probe_accuracy"] == pytest.approx(right, abs=0.004)
    assert not [name for name in metrics if name.startswith("classifier/") and "probe" in name]

    page = Page(done.folder)
    assert any(told.startswith("dae/probe_accuracy: val ") for told in page.charts)
    low, high = wilson_interval(round(360 * metrics["dae/test/probe_accuracy"]), 360)
    assert f"{format_figure(low)} to {format_figure(high)} Wilson, 360 images" in page.text


def test_so_many_images_the_same_for_every_seed_and_the_mode_stays(train: Train, monkeypatch):
    fitted: list[torch.Tensor] = []
    modes: list[bool] = []

    fit = RidgeClassifier.fit

    def spy(self: RidgeClassifier, inputs: Any, labels: Any) -> Any:
        fitted.append(torch.from_numpy(labels))
        return fit(self, inputs, labels)

    step = DenoisingAutoencoder.training_step

    def watch(self: DenoisingAutoencoder, *arguments: Any) -> Any:
        modes.append(self.encoder.training)
        return step(self, *arguments)

    monkeypatch.setattr(RidgeClassifier, "fit", spy)
    monkeypatch.setattr(DenoisingAutoencoder, "training_step", watch)
    few = (*QUICK, "stage=dae", "logger=none", "data.limit=60", "dae.epochs=2", "callbacks.probe.images=50")
    for seed in (0, 1):
        assert train(*few, f"seed={seed}", place=str(seed)).exit_code == 0
    assert len(fitted) == 2 * (2 + 1), "each validation, and the test"
    assert all(len(labels) == 50 and torch.equal(labels, fitted[0]) for labels in fitted)
    assert all(modes)


def test_images_without_classes_are_refused_in_words(train: Train, tmp_path: Path):
    (tmp_path / "scans").mkdir()
    for number in range(20):
        Image.new("L", (32, 32), 10 * number).save(tmp_path / "scans" / f"{number}.png")
    scans = (
        "stage=dae",
        "data=image_folder",
        f"data.root={tmp_path / 'scans'}",
        "debug=smoke",
        "logger=none",
    )
    done = train(*scans, "callbacks=[curves,probe]")
    assert done.exit_code == 2
    assert "have no classes, which the probe is to tell apart" in done.out
    assert "try '~callbacks.probe'" in done.out
    assert train(*scans, "callbacks=[curves,probe]", "~callbacks.probe", place="without").exit_code == 0
