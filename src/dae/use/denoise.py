"""``dae denoise``: images of any size without their noise. ``dae noise``: with some."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from dae.data.image_file import NotAnImageError, opened
from dae.errors import ConfigError, Problem, raise_problems
from dae.metrics import NOISE_LEVELS
from dae.models.noise import KINDS, Block, Noise
from dae.schema import argument_problems
from dae.seeds import derive_seed
from dae.use.images import Input, Picture, find_images
from dae.use.models import TrainedModel, load_autoencoder
from dae.use.writing import rewrite

Way = Literal["tiles", "resize"]
# A longer side than so many times the training's is hardly one thing as a whole.
LARGE = 2
# Tiles that a network is given at once.
AT_ONCE = 256


def denoise(
    run: str,
    images: Sequence[Path],
    *,
    out: Path,
    overwrite: bool,
    way: Way | None,
    allow_targets: Sequence[str] = (),
) -> None:
    """Write a denoised file for each image, of its own size.

    Args:
        run: See ``load_autoencoder``.
        images: See ``find_images``.
        out: See ``rewrite``, as for ``overwrite``.
        way: Each as a whole, by ``resize``; or in ``tiles`` of the training's size. None is as a whole, as in
            training, and refuses images that are much larger.
        allow_targets: Packages besides ours whose classes the checkpoint may name.

    Raises:
        ConfigError: There are no images, they are too large, or something is wrong with ``out``.
        UserError: There is no denoiser, a file cannot be written; or, at the end, some could not be read.
    """
    inputs, model = find_images(images), load_autoencoder(run, allow_targets)
    raise_problems(_too_large(inputs, model.preprocessing.image_size) if way is None else ())
    side, noise = model.preprocessing.image_size, model.checkpoint.hyper_parameters.get("noise") or {}
    kind = str(noise.get("_target_")).rpartition(".")[2]
    level = ", ".join(f"{key} {value}" for key, value in noise.items() if key != "_target_")
    print(
        f"Trained against {kind} {level}, on images of {side} x {side}: what is unlike it may come out worse",
        file=sys.stderr,
    )

    def change(each: Input, picture: Picture) -> Tensor:
        scaled = picture.levels[None].float() / picture.top
        made = (tiled if way == "tiles" else as_a_whole)(model, scaled)[0] * picture.top
        return (made if picture.levels.is_floating_point() else made.round()).to(picture.levels.dtype)

    rewrite(inputs, out, overwrite, change)


def _too_large(inputs: Sequence[Input], side: int) -> Iterator[Problem]:
    for each in inputs:
        with suppress(NotAnImageError), opened(each.path, verify=False) as image:  # told when its turn comes
            if max(image.size) > LARGE * side:
                size = f"{image.width} x {image.height}"
                what = f"its {size} pixels are far more than the {side} x {side} of the training"
                yield Problem(str(each.path), what, "--tiles: parts of that size; --resize: as a whole")


def by_channels(model: TrainedModel, images: Tensor) -> Tensor:
    """Images (N, C, S, S) of 1 channel or 3 through a network that takes either number of them.

    One for grey images is given each channel by itself, one for colour is given grey as a colour.
    """
    channels = model.preprocessing.channels
    if images.shape[1] == channels:
        return model(images)
    if channels == 1:
        return model(images.flatten(0, 1)[:, None]).view_as(images)
    return model(images.expand(-1, channels, -1, -1)).mean(1, keepdim=True)


def as_a_whole(model: TrainedModel, image: Tensor) -> Tensor:
    """An image (1, C, H, W) at once: padded as in training where it was, stretched otherwise."""
    how, size = model.preprocessing, image.shape[2:]
    side = how.image_size
    inner = [max(1, round(length * side / max(size))) if how.fit == "pad" else side for length in size]
    small = F.interpolate(image, inner, mode="bilinear", antialias=True)
    above, left = ((side - length) // 2 for length in inner)
    borders = (left, side - inner[1] - left, above, side - inner[0] - above)
    made = by_channels(model, F.pad(small, borders, value=float(how.background == "white")))
    found = made[:, :, above : above + inner[0], left : left + inner[1]]
    return F.interpolate(found, size, mode="bilinear", antialias=True)


def tiled(model: TrainedModel, image: Tensor) -> Tensor:
    """An image (1, C, H, W) in tiles that overlap by half, each of which counts most in its middle.

    A network that is a little off towards the borders of what it sees, as most are, leaves no seams so.
    """
    side, channels = model.preprocessing.image_size, image.shape[1]
    step = max(1, side // 2)
    height, width = (step * -(-length // step) + 2 * step for length in image.shape[2:])
    rows, columns = (
        _reflected(length, whole, step)
        for length, whole in zip(image.shape[2:], (height, width), strict=True)
    )
    padded = image[:, :, rows][:, :, :, columns]
    tiles = F.unfold(padded, side, stride=step)[0].T.view(-1, channels, side, side)
    made = torch.cat([by_channels(model, batch) for batch in tiles.split(AT_ONCE)])
    places = torch.arange(side) + 0.5
    ramp = torch.minimum(places, side - places)
    weights = ramp[:, None] * ramp
    laid = (made * weights).flatten(1).T[None]
    sums = F.fold(weights.expand_as(tiles).flatten(1).T[None], (height, width), side, stride=step)
    whole = F.fold(laid, (height, width), side, stride=step) / sums.clamp(min=1e-12)
    return whole[:, :, step : step + image.shape[2], step : step + image.shape[3]]


def _reflected(length: int, whole: int, before: int) -> Tensor:
    """Which rows of an image stand in so many: reflected at both ends as often as it takes."""
    period = max(1, 2 * length - 2)
    places = (torch.arange(whole) - before) % period
    return torch.minimum(places, period - places)


def add_noise(
    images: Sequence[Path], *, out: Path, overwrite: bool, kind: str, level: float | None, seed: int
) -> None:
    """Write a noisy file for each image; the same seed gives a file of the same name and size the same noise.

    Args:
        images: See ``find_images``.
        out: See ``rewrite``, as for ``overwrite``.
        kind: One of ``KINDS``.
        level: Of its one number; None is the default.
        seed: Of all images.

    Raises:
        ConfigError: There are no images, or something is wrong with ``out`` or the level.
        UserError: A file cannot be written; or, at the end, some could not be read.
    """
    key, default = NOISE_LEVELS[kind]
    value = (
        default
        if level is None
        else int(level)
        if isinstance(default, int) and level == int(level)
        else level
    )
    for problem in argument_problems(KINDS[kind], {key: value}):
        raise ConfigError([Problem(f"--level {value}", f"{key} of {kind}: {problem.what}")])
    noise = KINDS[kind](value)
    rewrite(
        find_images(images),
        out,
        overwrite,
        lambda each, picture: noisy(noise, picture, seed, each.place.as_posix()),
    )


def noisy(noise: Noise, picture: Picture, seed: int, name: str) -> Tensor:
    """Levels under noise, drawn from a seed and a name alone: the same, whatever others there are.

    Raises:
        NotAnImageError: It is smaller than the square of ``Block``.
    """
    levels, (height, width) = picture.levels, picture.levels.shape[1:]
    if isinstance(noise, Block) and noise.size > min(height, width):
        raise NotAnImageError(f"its {width} x {height} pixels have no room for a square of {noise.size}")
    generator = Generator().manual_seed(derive_seed("noise", seed, name))
    made = noise.corrupt(levels[None].float() / picture.top, generator)[0].clamp(0, 1) * picture.top
    return (made if levels.is_floating_point() else made.round()).to(levels.dtype)
