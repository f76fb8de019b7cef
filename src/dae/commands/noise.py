"""``dae noise``: images with noise, to have something to denoise."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dae.commands.arguments import add_images, one_of
from dae.commands.rewritten import KEPT, add_folder, planned, rewrite
from dae.errors import ConfigError, Problem
from dae.metrics import NOISE_LEVELS

if TYPE_CHECKING:
    from torch import Tensor

    from dae.models.noise import Noise
    from dae.use.picture import Picture

NAME = "noise"
HELP = "add noise to images"
LEVELS = {
    "p": (float, "the share of the pixels that it changes"),
    "std": (float, "its standard deviation, where black is 0 and white is 1"),
    "size": (int, "the side of the square that it blackens, in pixels"),
}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what follows the name of the command."""
    add_images(parser)
    add_folder(parser)
    words = f"its kind: {', '.join(NOISE_LEVELS)} (gaussian, if not given)"
    parser.add_argument("--noise", type=one_of(NOISE_LEVELS), default="gaussian", metavar="KIND", help=words)
    for key, (kind, words) in LEVELS.items():
        defaults = ", ".join(f"{name} {level}" for name, (own, level) in NOISE_LEVELS.items() if own == key)
        parser.add_argument(f"--{key}", type=kind, help=f"{words} (if not given: {defaults})")
    words = "0, if not given: the same seed gives a file of the same name and size the same noise"
    parser.add_argument("--seed", type=int, default=0, help=words)
    parser.epilog = KEPT


def run(options: Namespace) -> None:
    """Write a noisy file for each image.

    Raises:
        ConfigError: There are no images, or something is wrong with ``--out`` or the noise.
        UserError: A file cannot be written; or, at the end, some could not be read.
    """
    from dae.use.noisy import noisy  # torch

    noise = _noise(options)
    plan = planned(options)

    def change(picture: Picture, place: Path, told: Callable[[float], object]) -> Tensor:
        return noisy(noise, picture.levels, picture.top, options.seed, place.as_posix())

    rewrite(plan, options, "made noisy", change)


def _noise(options: Namespace) -> Noise:
    """The noise that is meant.

    Raises:
        ConfigError: It has no such level, or not of that value.
    """
    from dae.models.noise import KINDS
    from dae.schema import argument_problems

    key, level = NOISE_LEVELS[options.noise]
    given = {name: getattr(options, name) for name in LEVELS if getattr(options, name) is not None}
    foreign = [name for name in given if name != key]
    if foreign:
        what = f"{options.noise} has no {foreign[0]}, but {key}"
        raise ConfigError([Problem(f"--{foreign[0]} {given[foreign[0]]}", what, f"--{key} {level}")])
    kind, value = KINDS[options.noise], given.get(key, level)
    for problem in argument_problems(kind, {key: value}):
        raise ConfigError([Problem(f"--{key} {value}", problem.what, f"--{key} {level}")])
    return kind(value)
