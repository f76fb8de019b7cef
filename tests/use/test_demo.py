"""What the demo makes of an image; its page in headless Chromium: pytest -n 0 -m browser."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import dae
from dae.cli import main
from dae.config.compose import group_choices
from dae.data.image_file import Preprocessing
from dae.metrics import NOISE_LEVELS
from dae.models.noise import KINDS, Gaussian
from dae.use.demo import run_demo, served
from outcome import BRIEF, Train

CHROMIUM = os.environ.get("DAE_CHROMIUM", "/usr/bin/chromium")
SCREENSHOTS = os.environ.get("DAE_SCREENSHOTS")  # a folder, to look at them


@pytest.fixture
def run(finished: Train) -> Path:
    return finished(*BRIEF).folder


@pytest.fixture
def digit() -> Image.Image:
    return Image.fromarray((load_digits().images[3] * 255 / 16).astype(np.uint8))


def test_what_is_shown_is_what_the_networks_make_of_it(digit, run):
    denoiser, classifier = dae.load_autoencoder(run), dae.load_classifier(run)
    seen = run_demo(denoiser, classifier, digit, "gaussian", 0.3)
    clean = denoiser.preprocess(digit)
    noisy = Gaussian(0.3).corrupt(clean, torch.Generator().manual_seed(0))
    denoised = denoiser(noisy)
    for shown, expected in ((seen.clean, clean), (seen.noisy, noisy), (seen.denoised, denoised)):
        assert (Preprocessing(28, 1).tensor(shown) - expected).abs().max() < 1 / 255
    for classes, images in ((seen.noisy_classes, noisy), (seen.denoised_classes, denoised)):
        assert [*classes] == [*map(str, range(10))]
        assert torch.allclose(torch.tensor([*classes.values()]), classifier(images)[0])
    assert run_demo(denoiser, None, digit, "mask", 0.5).denoised_classes == {}


def test_each_kind_of_noise_is_offered_and_level_0_is_none(run, digit):
    assert {*KINDS} == {*NOISE_LEVELS} == {*group_choices("dae/noise")} - {"none"}
    denoiser = dae.load_autoencoder(run)
    for kind, (_, level) in NOISE_LEVELS.items():
        none, some = (run_demo(denoiser, None, digit, kind, each) for each in (0, level))
        assert np.array_equal(np.asarray(none.noisy), np.asarray(none.clean))
        assert not np.array_equal(np.asarray(some.noisy), np.asarray(some.clean)), kind


@pytest.mark.parametrize(
    ("installed", "words"), [(None, "pip install -e '.[demo]'"), (True, "no such file or folder")]
)
def test_what_is_told_before_gradio_is_asked_for(monkeypatch, capsys, tmp_path, installed, words):
    monkeypatch.setattr("dae.use.writing.find_spec", lambda name: installed)
    assert main(["demo", str(tmp_path / "nowhere")]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.browser
def test_draw_denoise_predict(run, monkeypatch):
    """By a server that speaks to nobody else; also in a narrow window."""
    pytest.importorskip("gradio")
    playwright = pytest.importorskip("playwright.sync_api")
    connect = socket.socket.connect

    def to_itself(self: socket.socket, place: Any) -> None:
        assert self.family == socket.AF_UNIX or place[0] in ("127.0.0.1", "localhost"), place
        connect(self, place)

    monkeypatch.setattr(socket.socket, "connect", to_itself)
    models = dae.load_autoencoder(run), dae.load_classifier(run)
    with served(*models, None, False) as address, playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for width in (1280, 390):
            page = browser.new_page(viewport={"width": width, "height": 900})
            outside: list[Any] = []
            errors: list[Any] = []
            page.on("request", lambda asked, seen=outside: seen.append(asked))
            page.on("pageerror", lambda error, seen=errors: seen.append(error))
            page.goto(address)
            page.locator(".picture img").nth(2).wait_for(timeout=60_000)
            before = page.locator(".picture img").nth(0).get_attribute("src")
            canvas = page.locator("#image canvas").first
            canvas.scroll_into_view_if_needed()
            box = canvas.bounding_box()
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
            page.mouse.down()
            for step in range(10):
                page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40 + 15 * step)
            page.mouse.up()
            page.wait_for_function(
                "before => document.querySelectorAll('.picture img')[0].getAttribute('src') != before",
                arg=before,
            )
            if SCREENSHOTS:
                page.wait_for_timeout(1500)
                page.screenshot(path=f"{SCREENSHOTS}/demo_{width}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            ours = ("http://127.0.0.1", "data:", "blob:")
            assert not [asked.url for asked in outside if not asked.url.startswith(ours)]
            assert not errors
        browser.close()
