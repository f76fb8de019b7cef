"""The page of the demo, by Gradio, on this machine alone: nothing is asked of any other."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
from PIL import Image

from dae.errors import UserError
from dae.metrics import NOISE_LEVELS
from dae.models.noise import KINDS
from dae.use.canvas import HTML, SCRIPT, STYLE, file_of
from dae.use.demo import SHOWN, Models, look, most_noise

HOST = "127.0.0.1"
WORDS = {"p": "share of the pixels", "std": "standard deviation, pixels are 0 to 1", "size": "side in pixels"}
PIXELS = ".picture img { image-rendering: pixelated; }"


@contextmanager
def served(models: Models, port: int | None, browser: bool) -> Iterator[str]:
    """The address of the page, which is there while the block lasts.

    Args:
        models: Of the run.
        port: None is the next free one, from 7860 on.
        browser: Whether one is opened.

    Raises:
        UserError: The port cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="dae-demo-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # of what is dropped and shown
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        for key in ("NO_PROXY", "no_proxy"):  # Gradio asks its own server whether it is there
            os.environ[key] = ",".join(filter(None, [os.environ.get(key), HOST]))
        page = demo_page(models)
        try:
            _, address, _ = page.launch(
                server_name=HOST,
                server_port=port,
                inbrowser=browser,
                css=PIXELS,
                footer_links=[],
                share=False,
                quiet=True,
                show_error=True,
                ssr_mode=False,
                enable_monitoring=False,
                prevent_thread_lock=True,
            )
        except OSError as error:
            taken = f"port {port} of {HOST} cannot be had" if port else f"no port of {HOST} is free"
            raise UserError(f"{taken}; without --port the next free one is taken") from error
        try:
            yield address
        finally:
            page.close(verbose=False)


def demo_page(models: Models) -> gr.Blocks:
    """The page: an image and its noise on the left, what becomes of it on the right."""
    how, run = models.denoiser.preprocessing, models.denoiser.checkpoint.run

    def told(event: gr.EventData) -> str:
        return event.image

    def slider(kind: str) -> gr.Slider:
        argument, level = NOISE_LEVELS[kind]
        most = most_noise(kind, how.image_size)
        words = f"Noise level ({WORDS[argument]})"
        return gr.Slider(0, most, min(level, most), step=1 if argument == "size" else 0.01, label=words)

    def shown(drawn: str, kind: str, level: float) -> list[Any]:
        # The two controls arrive one after the other when the kind is changed.
        level = min(level, most_noise(kind, how.image_size))
        try:
            if drawn:
                with file_of(drawn) as path:
                    seen = look(models, path, kind, level)
            else:
                seen = look(models, Image.new("RGB", (SHOWN, SHOWN), how.background), kind, level)
        except UserError as error:
            raise gr.Error(f"The file cannot be read as an image: {error.__cause__}") from error
        found = [seen.clean, seen.noisy, seen.denoised, seen.latent]
        return found + ([seen.noisy_classes, seen.denoised_classes] if models.classifier else [])

    with gr.Blocks(title="Denoising", analytics_enabled=False, fill_width=True) as page:
        gr.Markdown(f"## Denoising by {run}\nDraw an image, or drop one onto the canvas.")
        drawn = gr.State("")
        with gr.Row():
            with gr.Column(min_width=320):
                pen = "white" if how.background == "black" else "black"
                canvas = gr.HTML(
                    html_template=HTML,
                    css_template=STYLE,
                    js_on_load=SCRIPT,
                    elem_id="image",
                    ground=how.background,
                    pen=pen,
                )
                kind = gr.Dropdown(list(KINDS), value=next(iter(KINDS)), label="Kind of noise")
                level = slider(next(iter(KINDS)))
            with gr.Column(min_width=320, scale=2):
                names = ["As the network takes it", "Noisy", "Denoised", "Latent"]
                with gr.Row():
                    outputs: list[Any] = [_output(name) for name in names]
                if models.classifier:
                    with gr.Row():
                        for words in ("Noisy: class", "Denoised: class"):
                            outputs.append(gr.Label(label=words, num_top_classes=5, min_width=150))
        canvas.input(told, None, drawn)
        kind.change(slider, kind, level, show_progress="hidden")
        gr.on(
            [page.load, drawn.change, kind.change, level.change],
            shown,
            [drawn, kind, level],
            outputs,
            show_progress="hidden",
            trigger_mode="always_last",
        )
    return page


def _output(name: str) -> gr.Image:
    return gr.Image(label=name, type="pil", format="png", buttons=[], min_width=150, elem_classes="picture")
