from __future__ import annotations

from argparse import ArgumentParser

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import dae
from dae.cli import main
from dae.commands import demo as command
from dae.config.compose import group_choices
from dae.data.image_file import Preprocessing
from dae.metrics import NOISE_LEVELS
from dae.models.noise import Gaussian
from dae.use.demo import KINDS, Models, latent_picture, load_models, look, most_noise, picture
from outcome import BRIEF, Train


@pytest.fixture
def models(finished: Train) -> Models:
    return load_models(finished(*BRIEF).folder)


@pytest.fixture
def digit() -> Image.Image:
    return Image.fromarray((load_digits().images[3] * 255 / 16).astype(np.uint8))


def as_taken(shown: Image.Image) -> torch.Tensor:
    """An enlarged picture as the 28 x 28 pixels that it shows."""
    return Preprocessing(28, 1).tensor(shown.resize((28, 28), Image.Resampling.NEAREST))


def test_what_is_shown_is_what_the_networks_make_of_it(models, digit, finished):
    run = finished(*BRIEF).folder
    seen = look(models, digit, "gaussian", 0.3, seed=5)
    clean = dae.load_autoencoder(run).preprocess(digit)
    noisy = Gaussian(0.3).corrupt(clean, torch.Generator().manual_seed(5))
    denoised = dae.load_autoencoder(run)(noisy)
    for shown, expected in ((seen.clean, clean), (seen.noisy, noisy), (seen.denoised, denoised)):
        assert shown.size == (280, 280)
        assert (as_taken(shown) - expected).abs().max() < 1 / 255
    classifier = dae.load_classifier(run)
    for classes, images in ((seen.noisy_classes, noisy), (seen.denoised_classes, denoised)):
        expected = classifier(images)[0]
        assert [*classes] == [*map(str, range(10))]
        assert torch.allclose(torch.tensor([*classes.values()]), expected)
    assert seen.noisy_classes != seen.denoised_classes
    latent = dae.load_encoder(run)(noisy)[0]
    assert np.array_equal(np.asarray(seen.latent), np.asarray(latent_picture(latent)))


def test_the_same_noise_is_drawn_at_each_level_and_none_at_0(models, digit):
    for kind in KINDS:
        none, some = (look(models, digit, kind, level) for level in (0, NOISE_LEVELS[kind][1]))
        assert np.array_equal(np.asarray(none.noisy), np.asarray(none.clean))
        assert not np.array_equal(np.asarray(some.noisy), np.asarray(some.clean)), kind
        again = look(models, digit, kind, NOISE_LEVELS[kind][1])
        assert np.array_equal(np.asarray(some.noisy), np.asarray(again.noisy))
        look(models, digit, kind, most_noise(kind, 28))


def test_each_kind_of_noise_is_offered():
    assert {*KINDS} == {*NOISE_LEVELS} == {*group_choices("dae/noise")} - {"none"}


def test_a_run_without_a_classifier(finished, digit):
    models = load_models(finished(*BRIEF).folder / "dae" / "best.ckpt")
    assert models.classifier is None
    assert look(models, digit, "mask", 0.5).denoised_classes == {}


def test_a_latent_as_a_picture():
    """Five channels of 2 x 3 in rows of three, a pixel between them; the smallest number black."""
    latent = torch.arange(30).reshape(5, 2, 3).float()
    sheet = latent_picture(latent)
    assert sheet.size == (25 * (3 * 4 - 1), 25 * (2 * 3 - 1))
    small = np.asarray(sheet.resize((11, 5), Image.Resampling.NEAREST))
    assert small[0, 0] == 0
    assert small[3, 4] == round(255 * 24 / 29)
    assert not small[:, 3].any()
    assert not small[3:, 8:].any()
    assert latent_picture(torch.rand(7)).size == (3 * 93, 3 * 93)
    assert not np.asarray(latent_picture(torch.zeros(4, 2, 2))).any()


def test_large_and_coloured_images_keep_their_pixels():
    assert picture(torch.rand(3, 300, 300)).size == (300, 300)
    assert picture(torch.full((3, 2, 2), 2.0)).getpixel((0, 0)) == (255, 255, 255)


def test_without_gradio_the_command_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("dae.commands.outputs.find_spec", lambda name: None)
    assert main(["demo", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert "pip install -e '.[demo]'" in told.err
    assert not told.out


def test_what_is_no_run_is_told_before_gradio_is_asked_for(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("dae.commands.outputs.find_spec", lambda name: True)
    assert main(["demo", str(tmp_path / "nowhere")]) == 1
    assert "no such file or folder; expected a checkpoint or a run folder" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "65536", "-1", "a"])
def test_a_port_that_is_none(port, capsys):
    parser = ArgumentParser()
    command.add_arguments(parser)
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["run", f"--port={port}"])
    assert f"found '{port}', expected an integer from 1 to 65535" in capsys.readouterr().err
