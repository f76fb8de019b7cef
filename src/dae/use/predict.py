"""Files through a trained network: read by threads, a batch at a time, in their order."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from dae.data.image_file import NotAnImageError, Preprocessing
from dae.errors import CheckpointError
from dae.text import path_from_here
from dae.use.inputs import Input
from dae.use.models import TrainedModel

# Images of a batch, and the pixels that it may have: what a network makes of each takes memory, too.
BATCH, PIXELS = 256, 2**20


def outputs(model: TrainedModel, inputs: Sequence[Input]) -> Iterator[tuple[Input, Tensor | str]]:
    """What a network makes of the image in each file, or of a bad file why it cannot be read.

    Never more than a batch is in memory, and what the threads that read it are at.

    Args:
        model: Takes images.
        inputs: The files.
    """
    how = model.preprocessing
    size = max(1, min(BATCH, PIXELS // how.image_size**2))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(inputs), size):
            batch = inputs[start : start + size]
            read = list(pool.map(lambda each: _read(each, how), batch))
            images = [image for image in read if isinstance(image, Tensor)]
            made = iter(model(torch.cat(images)) if images else ())
            for each, image in zip(batch, read, strict=True):
                yield each, (image if isinstance(image, str) else next(made))


def _read(each: Input, how: Preprocessing) -> Tensor | str:
    try:
        return how.tensor(each.path)
    except NotAnImageError as error:
        return str(error)


def ranked(model: TrainedModel, probabilities: Tensor) -> list[tuple[str, float]]:
    """Classes and their probabilities, (classes,), the most probable first.

    Raises:
        CheckpointError: The checkpoint names another number of classes.
    """
    if len(probabilities) != len(model.classes):
        raise CheckpointError(
            f"{path_from_here(model.checkpoint.path)} names {len(model.classes)} classes, "
            f"and its classifier gives {len(probabilities)} probabilities"
        )
    values, indices = probabilities.sort(descending=True, stable=True)
    return [
        (model.classes[index], value) for index, value in zip(indices.tolist(), values.tolist(), strict=True)
    ]
