"""``dae demo``: a page on this machine where one draws, adds noise, and sees what the networks make of it."""

from __future__ import annotations

import threading
from argparse import ArgumentParser, ArgumentTypeError, Namespace

from dae.commands.arguments import add_model
from dae.commands.outputs import require_packages

NAME = "demo"
HELP = "open a page to draw an image, add noise, and see it denoised and classified"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what follows the name of the command."""
    add_model(parser)
    parser.add_argument(
        "--port", type=_port, metavar="N", help="of the page; else the next free one from 7860"
    )
    parser.add_argument("--no-browser", action="store_true", help="only print the address")


def run(options: Namespace) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        UserError: Gradio is not installed, the run has no denoiser, or the port cannot be had.
    """
    require_packages("dae demo", ["gradio"], "demo")
    from dae.use.demo import load_models  # torch

    models = load_models(options.run, options.allow_targets)
    from dae.use.demo_page import served  # Gradio, which takes seconds

    with served(models, options.port, browser=not options.no_browser) as address:
        print(f"{address}  (Ctrl-C ends it)", flush=True)
        threading.Event().wait()


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise ArgumentTypeError(f"found {text!r}, expected an integer from 1 to {2**16 - 1}")
    return int(text)
