from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import dae
from dae.data.images import ImageDataModule
from dae.data.sources import digits as digits_source
from dae.errors import UserError
from dae.models.autoencoder import DenoisingAutoencoder
from dae.models.classifier import EncoderClassifier
from outcome import BRIEF, Train


def measured_on() -> tuple[torch.Tensor, torch.Tensor]:
    data = ImageDataModule(digits_source, Path(), 32, 0.1, 0, 28, 1)
    data.setup()
    return data.test.images[:].float() / 255, data.test.labels


@pytest.fixture
def run(finished: Train) -> Path:
    return finished(*BRIEF).folder


def test_a_denoiser_gives_the_images_that_its_run_has_measured(run):
    images, _ = measured_on()
    denoiser = dae.load_autoencoder(run)
    made = denoiser(images)
    assert made.shape == images.shape
    assert 0 < made.min() < made.max() < 1
    loss = torch.nn.functional.binary_cross_entropy(made, images)
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    assert float(loss) == pytest.approx(metrics["dae/test/loss"], rel=1e-4)
    assert not any(module.training for module in denoiser.modules())
    assert not any(parameter.requires_grad for parameter in denoiser.parameters())


def test_a_classifier_is_as_often_right_as_its_run_has_measured(run):
    images, labels = measured_on()
    classifier = dae.load_classifier(run)
    probabilities = classifier(images)
    assert torch.allclose(probabilities.sum(1), torch.ones(len(images)))
    named = [classifier.classes[index] for index in probabilities.argmax(1)]
    right = np.mean([name == str(int(label)) for name, label in zip(named, labels, strict=True)])
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    assert float(right) == pytest.approx(metrics["classifier/test/accuracy"])


def test_latents_are_those_that_the_decoder_takes(run):
    images, _ = measured_on()
    latents = dae.load_encoder(run)(images)
    assert latents.shape == (len(images), 16, 4, 4)
    denoiser = dae.load_autoencoder(run)
    assert torch.equal(denoiser.decoder(latents).sigmoid(), denoiser(images))


def test_a_file_becomes_what_was_trained_on(run, tmp_path):
    """The digits are white on black, so that what is added beside a narrow image is black."""
    denoiser = dae.load_autoencoder(run)
    wide = np.zeros((28, 56, 3), np.uint8)
    wide[:, :, 0] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    for image in (tmp_path / "wide.png", str(tmp_path / "wide.png"), Image.open(tmp_path / "wide.png")):
        made = denoiser.preprocess(image)
        assert made.shape == (1, 1, 28, 28)
        assert made[0, 0, 14, 14] == pytest.approx(76 / 255)
        assert made[0, 0, 0].max() == 0
    assert denoiser.classes == ()
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(UserError, match=r"text\.png cannot be read as an image: it is no image"):
        denoiser.preprocess(tmp_path / "text.png")


def test_the_winner_of_a_sweep_is_meant_by_its_folder(watched_run):
    sweep = watched_run.parent / "sweep"
    results = {file.parent: json.loads(file.read_text()) for file in sweep.glob("*/result.json")}
    best = max(results, key=lambda folder: results[folder]["objective"]["value"])
    values = [result["objective"]["value"] for result in results.values()]
    assert values.count(max(values)) == 1
    assert dae.load_classifier(sweep).checkpoint.path.parent.parent == best
    assert dae.load_autoencoder(sweep).checkpoint.path.is_relative_to(sweep)


def test_lightning_loads_both_modules(run):
    images, _ = measured_on()
    autoencoder = DenoisingAutoencoder.load_from_checkpoint(run / "dae" / "best.ckpt", weights_only=True)
    classifier = EncoderClassifier.load_from_checkpoint(run / "classifier" / "best.ckpt", weights_only=True)
    with torch.no_grad():
        assert torch.equal(autoencoder.eval()(images).sigmoid(), dae.load_autoencoder(run)(images))
        assert torch.equal(classifier.eval()(images).softmax(1), dae.load_classifier(run)(images))
    assert autoencoder.noise.p == 0.2
    assert (len(classifier.trained_blocks), len(classifier.frozen_blocks)) == (1, 2)
    classifier.trainer = type("Trainer", (), {"estimated_stepping_batches": 10})()
    optimizer = classifier.configure_optimizers()["optimizer"]
    assert (type(optimizer), optimizer.defaults["lr"]) == (torch.optim.Adam, 1e-3)


def test_neither_hydra_nor_lightning_is_needed(run):
    """And ``import dae`` alone takes no time."""
    code = f"""
import sys
for name in ("hydra", "omegaconf", "pytorch_lightning", "lightning"):
    sys.modules[name] = None
import dae
assert not [name for name in ("torch", "numpy", "pydantic") if name in sys.modules]
assert "load_encoder" in dir(dae)
from PIL import Image
classifier = dae.load_classifier({str(run)!r})
print(classifier.classes[classifier(classifier.preprocess(Image.new("L", (40, 20)))).argmax()])
print(dae.load_autoencoder({str(run)!r})(classifier.preprocess(Image.new("L", (40, 20)))).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("torch.Size([1, 1, 28, 28])\n")
