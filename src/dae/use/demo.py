"""``dae demo``: a page on this machine where one draws, adds noise, and sees what the networks make of it."""

from __future__ import annotations

import base64
import io
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torchvision.transforms.functional import to_pil_image

from dae.errors import UserError
from dae.metrics import NOISE_LEVELS
from dae.models.noise import KINDS
from dae.use.models import TrainedModel, load_autoencoder, load_classifier, run_of
from dae.use.writing import require_packages

HOST = "127.0.0.1"
PIXELS = (
    ".picture img { image-rendering: pixelated; object-fit: contain !important; height: 100% !important; }"
)
# Gradio's own editor draws by WebGL, which takes a minute a stroke where no GPU helps.
CANVAS = (
    '<canvas width="280" height="280" aria-label="Draw here"></canvas><button type="button">Clear</button>'
)
STYLE = (
    "canvas { width: 100%; max-width: 400px; touch-action: none; cursor: crosshair; border: 1px solid gray; }"
)
SCRIPT = """
const canvas = element.querySelector('canvas'), pen = canvas.getContext('2d'), side = canvas.width;
const wipe = () => { pen.fillStyle = props.ground; pen.fillRect(0, 0, side, side); };
const tell = () => trigger('input', {image: canvas.toDataURL()});
wipe();
Object.assign(pen, {strokeStyle: props.pen, lineWidth: 22, lineCap: 'round'});
let last = null;
const draw = event => {
  const box = canvas.getBoundingClientRect();
  const to = [(event.clientX - box.left) * side / box.width, (event.clientY - box.top) * side / box.height];
  pen.beginPath(); pen.moveTo(...(last || to)); pen.lineTo(...to); pen.stroke(); last = to;
};
canvas.onpointerdown = event => { canvas.setPointerCapture(event.pointerId); draw(event); };
canvas.onpointermove = event => last && draw(event);
canvas.onpointerup = canvas.onpointercancel = () => { if (last) tell(); last = null; };
element.querySelector('button').onclick = () => { wipe(); tell(); };
"""


@dataclass(frozen=True)
class DemoOutput:
    """An image on its way through the networks, and the probability of each class, if there are any."""

    clean: Image.Image
    noisy: Image.Image
    denoised: Image.Image
    noisy_classes: dict[str, float]
    denoised_classes: dict[str, float]


@torch.inference_mode()
def run_demo(
    denoiser: TrainedModel, classifier: TrainedModel | None, image: Image.Image, kind: str, level: float
) -> DemoOutput:
    """Corrupt an image, denoise and classify it; the same noise is drawn at each level, and none at 0."""
    clean = noisy = denoiser.preprocess(image)
    if level:
        number = type(NOISE_LEVELS[kind][1])
        noisy = KINDS[kind](number(level)).corrupt(clean, torch.Generator().manual_seed(0))
    denoised = denoiser(noisy)
    found = [
        dict(zip(classifier.classes, classifier(images)[0].tolist(), strict=True)) if classifier else {}
        for images in (noisy, denoised)
    ]
    return DemoOutput(*(to_pil_image(images[0].clamp(0, 1)) for images in (clean, noisy, denoised)), *found)


def demo(run: str, *, port: int | None, browser: bool, allow_targets: Sequence[str] = ()) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        UserError: Gradio is not installed, the run has no denoiser, or the port cannot be had.
    """
    require_packages("dae demo", ["gradio"], "demo")
    place = run_of(run)
    denoiser = load_autoencoder(place, allow_targets)
    classified = (Path(place) / "classifier" / "best.ckpt").is_file()
    with served(
        denoiser, load_classifier(place, allow_targets) if classified else None, port, browser
    ) as address:
        print(f"{address}  (Ctrl-C ends it)", flush=True)
        threading.Event().wait()


@contextmanager
def served(
    denoiser: TrainedModel, classifier: TrainedModel | None, port: int | None, browser: bool
) -> Iterator[str]:
    """The address of the page, which is there while the block lasts, on this machine alone.

    Raises:
        UserError: The port cannot be had.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    for key in ("NO_PROXY", "no_proxy"):  # Gradio asks its own server whether it is there
        os.environ[key] = ",".join(filter(None, [os.environ.get(key), HOST]))
    page = demo_page(denoiser, classifier)
    how: dict[str, Any] = {"share": False, "quiet": True, "ssr_mode": False, "prevent_thread_lock": True}
    try:
        _, address, _ = page.launch(server_name=HOST, server_port=port, inbrowser=browser, css=PIXELS, **how)
    except OSError as error:
        taken = f"port {port} of {HOST} cannot be had" if port else f"no port of {HOST} is free"
        raise UserError(taken) from error
    try:
        yield address
    finally:
        page.close(verbose=False)


def demo_page(denoiser: TrainedModel, classifier: TrainedModel | None) -> Any:
    """The page: an image and its noise on the left, what becomes of it on the right."""
    import gradio as gr

    ground = denoiser.preprocessing.background
    blank = Image.new("RGB", (280, 280), ground)

    def slider(kind: str) -> Any:
        argument, level = NOISE_LEVELS[kind]
        most = {"size": float(denoiser.preprocessing.image_size), "std": 1.0, "p": 0.95}[argument]
        return gr.Slider(0, most, min(level, most), step=1 if argument == "size" else 0.01, label=argument)

    def told(event: Any) -> Image.Image:
        return Image.open(io.BytesIO(base64.b64decode(event.image.partition(",")[2])))

    told.__annotations__["event"] = gr.EventData  # by which Gradio knows what to pass

    def shown(image: Image.Image | None, kind: str, level: float) -> list[Any]:
        # The two controls arrive one after the other when the kind is changed.
        made = run_demo(denoiser, classifier, image or blank, kind, min(level, slider(kind).maximum))
        pictures = [made.clean, made.noisy, made.denoised]
        return pictures + ([made.noisy_classes, made.denoised_classes] if classifier else [])

    with gr.Blocks(title="Denoising", analytics_enabled=False, fill_width=True) as page:
        gr.Markdown(f"## Denoising by {denoiser.checkpoint.run}\nDraw an image, or choose a file.")
        image = gr.State(None)
        with gr.Row():
            with gr.Column(min_width=320):
                pen = {"ground": ground, "pen": "white" if ground == "black" else "black"}
                canvas = gr.HTML(
                    html_template=CANVAS, css_template=STYLE, js_on_load=SCRIPT, elem_id="image", **pen
                )
                file = gr.Image(label="A file", type="pil", image_mode=None, sources=["upload"], height=120)
                kind = gr.Dropdown(list(KINDS), value=next(iter(KINDS)), label="Kind of noise")
                level = slider(next(iter(KINDS)))
            with gr.Column(min_width=320, scale=2):
                names = ("As the network takes it", "Noisy", "Denoised")
                with gr.Row():
                    outputs: list[Any] = [
                        gr.Image(
                            label=name,
                            format="png",
                            buttons=[],
                            height=280,
                            min_width=150,
                            elem_classes="picture",
                        )
                        for name in names
                    ]
                if classifier:
                    with gr.Row():
                        outputs += [gr.Label(label=f"{name}: class", num_top_classes=5) for name in names[1:]]
        canvas.input(told, None, image)
        file.change(lambda picture: picture, file, image)
        kind.change(slider, kind, level, show_progress="hidden")
        events = [page.load, image.change, kind.change, level.change]
        gr.on(
            events, shown, [image, kind, level], outputs, show_progress="hidden", trigger_mode="always_last"
        )
    return page
