"""The page of ``dae demo`` in headless Chromium: draw, denoise, predict. pytest -n 0 -m browser."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dae.errors import UserError
from dae.use.demo import load_models
from outcome import BRIEF, Train

pytestmark = pytest.mark.browser
gradio = pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = os.environ.get("DAE_CHROMIUM", "/usr/bin/chromium")
SCREENSHOTS = os.environ.get("DAE_SCREENSHOTS")  # a folder, to look at them


@pytest.fixture
def run(finished: Train) -> Path:
    return Path(os.environ.get("DAE_RUN") or finished(*BRIEF).folder)


@pytest.fixture
def address(run: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of a page whose server speaks to nobody else."""
    from dae.use.demo_page import served

    connect = socket.socket.connect

    def to_itself(self: socket.socket, place: Any) -> None:
        assert self.family == socket.AF_UNIX or place[0] in ("127.0.0.1", "localhost"), place
        connect(self, place)

    monkeypatch.setattr(socket.socket, "connect", to_itself)
    with served(load_models(run), port=None, browser=False) as found:
        yield found


class Page:
    """The page as a user sees it; asked for nothing that is not on this machine."""

    def __init__(self, browser: Any, address: str, **view: Any) -> None:
        self.page = browser.new_page(**view)
        self.errors: list[str] = []
        self.outside: list[str] = []
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._asked)
        self.page.goto(address)
        self.page.locator(".picture img").nth(3).wait_for(timeout=60_000)
        self.page.wait_for_timeout(1000)
        self.before = self._sources()

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(("http://127.0.0.1", "data:", "blob:http://127.0.0.1")):
            self.outside.append(request.url)

    def _sources(self) -> list[str | None]:
        return [picture.get_attribute("src") for picture in self.page.locator(".picture img").all()]

    def settled(self) -> None:
        """Wait until something else is shown, and no longer changes."""
        for _ in range(60):
            self.page.wait_for_timeout(500)
            now = self._sources()
            if now != self.before:
                break
        while now != self.before:
            self.before = now
            self.page.wait_for_timeout(1500)
            now = self._sources()

    def shown(self, index: int) -> np.ndarray:
        """The pixels of an output, by its place: clean, noisy, denoised, latent."""
        source = self.page.locator(".picture img").nth(index).get_attribute("src")
        response = self.page.request.get(source)
        with Image.open(BytesIO(response.body())) as image:
            return np.asarray(image.convert("L"))

    def draw_a_one(self) -> None:
        canvas = self.page.locator("#image canvas").first
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        across = box["x"] + box["width"] / 2
        self.page.mouse.move(across, box["y"] + box["height"] * 0.2)
        self.page.mouse.down()
        for step in range(20):
            self.page.mouse.move(across, box["y"] + box["height"] * (0.2 + 0.03 * step))
        self.page.mouse.up()
        self.settled()

    def keep(self, name: str) -> None:
        if SCREENSHOTS:
            self.page.screenshot(path=f"{SCREENSHOTS}/demo_{name}.png", full_page=True)


@pytest.fixture
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def test_draw_denoise_predict(address, browser):
    page = Page(browser, address, viewport={"width": 1280, "height": 900})
    assert not page.shown(0).any(), "an empty canvas is the ground of the images"
    assert page.shown(1).shape == page.shown(2).shape == (280, 280)

    page.draw_a_one()
    page.keep("light")
    drawn = page.shown(0)
    assert drawn[60:180, 110:170].max() > 128, "the pen has left something"
    assert not drawn[:, :80].any()
    noisy, denoised = page.shown(1), page.shown(2)
    assert not np.array_equal(noisy, drawn)
    assert not np.array_equal(denoised, noisy)
    told = page.page.locator(".gradio-label, [data-testid='label-output-value']").all_inner_texts()
    assert len(told) >= 2
    assert all(any(character.isdigit() for character in words) for words in told)

    level = page.page.locator("input[type=number]").first
    level.fill("0")
    level.press("Enter")
    page.settled()
    assert np.array_equal(page.shown(1), page.shown(0)), "no noise at level 0"

    kind = page.page.get_by_label("Kind of noise")
    kind.click()
    page.page.get_by_role("option", name="gaussian").click()
    page.settled()
    assert page.page.get_by_text("standard deviation").count() == 1
    assert not np.array_equal(page.shown(1), page.shown(0))
    page.keep("gaussian")
    assert not page.outside
    assert not page.errors


def test_an_image_that_is_dropped(address, browser, tmp_path):
    image = Image.new("RGB", (100, 50), "black")
    ImageDraw.Draw(image).rectangle((40, 5, 60, 45), fill="white")
    image.save(tmp_path / "bar.png")
    page = Page(browser, address, viewport={"width": 1280, "height": 900}, color_scheme="dark")
    page.page.locator("#image input[type=file]").first.set_input_files(str(tmp_path / "bar.png"))
    page.settled()
    assert page.shown(0)[100:180, 130:150].min() > 128
    page.keep("dark")
    assert not page.errors


def test_a_narrow_screen(address, browser):
    page = Page(browser, address, viewport={"width": 390, "height": 844}, color_scheme="dark")
    page.draw_a_one()
    page.keep("narrow")
    wide = page.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390


def test_a_port_that_is_taken(run):
    from dae.use.demo_page import served

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(UserError, match=f"port {port} of 127.0.0.1 cannot be had; without --port"),
            served(load_models(run), port, browser=False),
        ):
            pass


def test_ctrl_c_ends_it_quietly(run):
    """And it is served to this machine alone."""
    with subprocess.Popen(
        [sys.executable, "-m", "dae", "demo", str(run), "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read() == ""
        assert process.stdout.read() == ""
