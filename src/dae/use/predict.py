"""``dae predict``: the classes of images. ``dae embed``: their latents. A batch of files at a time."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from dae.data.image_file import NotAnImageError
from dae.errors import ConfigError, Problem, UserError
from dae.files import atomic_path
from dae.text import aligned, path_from_here, pluralize, printable
from dae.use.images import Input, find_images
from dae.use.models import TrainedModel, load_classifier, load_encoder
from dae.use.writing import check_output, progress, raise_bad

# Images of a batch, and the pixels that it may have: what a network makes of each takes memory, too.
BATCH, PIXELS = 256, 2**20
Form = Literal["table", "csv", "json"]


def outputs(model: TrainedModel, inputs: Sequence[Input]) -> Iterator[tuple[Input, Tensor | str]]:
    """What a network makes of the image in each file, or of a bad file why it cannot be read."""
    how = model.preprocessing

    def read(each: Input) -> Tensor | str:
        try:
            return how.tensor(each.path)
        except NotAnImageError as error:
            return str(error)

    size = max(1, min(BATCH, PIXELS // how.image_size**2))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(inputs), size):
            batch = inputs[start : start + size]
            found = list(pool.map(read, batch))
            images = [image for image in found if isinstance(image, Tensor)]
            made = iter(model(torch.cat(images)) if images else ())
            for each, image in zip(batch, found, strict=True):
                yield each, (image if isinstance(image, str) else next(made))


def predict(
    run: str, images: Sequence[Path], *, top: int | None, form: Form, allow_targets: Sequence[str] = ()
) -> None:
    """Print the most probable classes of each image, in the order of the images.

    A file is read as in training: by the ``Preprocessing`` that the checkpoint holds.

    Args:
        run: See ``load_classifier``.
        images: See ``find_images``.
        top: How many classes; None is one, in JSON all.
        form: JSON is a list of path, class, probability, probabilities, error.
        allow_targets: Packages besides ours whose classes the checkpoint may name.

    Raises:
        ConfigError: There are no images, or not so many classes.
        UserError: There is no classifier; or, at the end, some files could not be read as images.
    """
    inputs, model = find_images(images), load_classifier(run, allow_targets)
    most = len(model.classes)
    if top is not None and not 1 <= top <= most:
        raise ConfigError([Problem(f"--top {top}", f"expected 1 to {most}, the number of classes")])
    top = top or (most if form == "json" else 1)
    rows: list[dict[str, Any]] = []
    for each, made in progress(outputs(model, inputs), "images", len(inputs)):
        row: dict[str, Any] = {"path": str(each.path), "class": None, "probability": None}
        row |= {"probabilities": None, "error": made if isinstance(made, str) else None}
        if isinstance(made, Tensor):
            values, order = made.sort(descending=True, stable=True)
            names = [model.classes[index] for index in order.tolist()]
            row["probabilities"] = dict(list(zip(names, values.tolist(), strict=True))[:top])
            row["class"], row["probability"] = names[0], float(values[0])
        rows.append(row)
    if form == "json":
        print(json.dumps(rows, indent=1))
    else:
        _print_rows(rows, top, form)
    raise_bad([f"{row['path']}: {row['error']}" for row in rows if row["error"]], len(rows))


def _print_rows(rows: list[dict[str, Any]], top: int, form: Form) -> None:
    numbers = ["", *(f"_{n}" for n in range(2, top + 1))]
    lines = [["path", *(f"{word}{n}" for n in numbers for word in ("class", "probability")), "error"]]
    digits = "" if form == "csv" else ".4f"
    for row in rows:
        pairs = (row["probabilities"] or {}).items()
        cells = [cell for name, share in pairs for cell in (name, f"{share:{digits}}")] or [""] * 2 * top
        lines.append([printable(cell) for cell in (row["path"], *cells, row["error"] or "")])
    if form == "csv":
        csv.writer(sys.stdout, lineterminator="\n").writerows(lines)
    else:
        print("\n".join(aligned(lines)))


def embed(
    run: str,
    images: Sequence[Path],
    *,
    out: Path,
    overwrite: bool,
    allow_targets: Sequence[str] = (),
) -> None:
    """Write a row an image, flattened, in the order of the images; bad files have none.

    Args:
        run: See ``load_encoder``, as for ``allow_targets``.
        images: See ``find_images``.
        out: ``.csv`` begins each row with the path; of ``.npy`` the paths are in a ``.txt`` beside it.
        overwrite: Whether a file that is there is replaced.

    Raises:
        ConfigError: There are no images, or something is wrong with ``out``.
        UserError: There is no encoder, no image, or the latents cannot be written; or some files could not be
            read as images.
    """
    suffix, inputs = check_output(out, (".npy", ".csv"), overwrite), find_images(images)
    names = out.with_suffix(".txt")
    if suffix == ".npy":
        check_output(names, (".txt",), overwrite)
    model = load_encoder(run, allow_targets)
    paths, latents, bad = [], [], []
    for each, made in progress(outputs(model, inputs), "images", len(inputs)):
        if isinstance(made, Tensor):
            paths.append(printable(str(each.path)))
            latents.append(made.flatten().numpy())
        else:
            bad.append(f"{each.path}: {made}")
    if latents:
        try:
            with atomic_path(out) as temporary:
                if suffix == ".npy":
                    with temporary.open("wb") as file:  # a name would be given another ending
                        np.save(file, np.stack(latents))
                    names.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
                else:
                    _write_csv(temporary, paths, latents)
        except OSError as error:
            raise UserError(f"{out} cannot be written: {error.strerror or error}") from error
        print(f"The latents of {pluralize(len(paths), 'image')}, by {model.checkpoint}", file=sys.stderr)
        print(path_from_here(out))
    raise_bad(bad, len(inputs))


def _write_csv(path: Path, paths: Sequence[str], latents: Sequence[np.ndarray]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", *(f"latent_{number}" for number in range(len(latents[0])))])
        writer.writerows([name, *map(str, latent)] for name, latent in zip(paths, latents, strict=True))
