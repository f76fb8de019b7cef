"""``dae denoise``: images without their noise."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dae.commands.arguments import add_images, add_model
from dae.commands.rewritten import KEPT, add_folder, planned, rewrite
from dae.text import pluralize

if TYPE_CHECKING:
    from torch import Tensor

    from dae.use.picture import Picture

NAME = "denoise"
HELP = "take the noise out of images, of any size"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what follows the name of the command."""
    add_model(parser)
    add_images(parser)
    add_folder(parser)
    words = (
        "bring each image to the size that the network takes, and the result back: for images that, like "
        "those of its training, show one thing as a whole (without it: tiles of that size, which overlap)"
    )
    parser.add_argument("--resize", action="store_true", help=words)
    parser.epilog = (
        "A network for grey images denoises each channel of a colour image by itself; one for colour images "
        f"gives grey back for grey. An image of the size that the network takes goes through it whole. {KEPT}"
    )


def run(options: Namespace) -> None:
    """Write a denoised file for each image.

    Raises:
        ConfigError: There are no images, or something is wrong with ``--out``.
        UserError: There is no denoiser, a file cannot be written; or, at the end, some could not be read.
    """
    plan = planned(options)
    from dae.use.denoise import denoised
    from dae.use.models import load_autoencoder  # torch

    model = load_autoencoder(options.run, options.allow_targets)
    side, others = model.preprocessing.image_size, 0

    def change(picture: Picture, place: Path, told: Callable[[float], object]) -> Tensor:
        nonlocal others
        others += picture.levels.shape[1:] != (side, side)
        return denoised(model, picture.levels, picture.top, options.resize, told)

    rewrite(plan, options, "denoised", change)
    if others and not options.resize:
        what = f"{pluralize(others, 'image')} of another size than the {side} x {side} of the training went"
        hint = "if that has seen whole things, and not parts of larger pictures: --resize"
        print(f"{what} through in tiles of that size; {hint}", file=sys.stderr)
