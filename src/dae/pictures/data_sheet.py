"""What ``stage=data`` shows: images by class and split, what a run would do with them, some of them."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dae.config.settings import stages_to_run
from dae.data.image_set import Split, bytes_to_floats, from_each_class
from dae.data.images import ImageDataModule
from dae.files import read_json, write_json
from dae.pictures.drawing import draw_image_rows, write_png
from dae.pictures.style import short_names
from dae.seeds import derive_seed
from dae.text import aligned, path_from_here, train_command
from dae.training.devices import device_count

log = logging.getLogger(__name__)

COLUMNS = 10
MOST_ROWS = 40


def show_data(data: ImageDataModule, config: Mapping[str, Any], folder: Path, words: Sequence[str]) -> None:
    """Log what the data is and what a run would make of it; keep that in ``run.json``, and a contact sheet.

    Args:
        data: Set up already.
        config: Of the run, as plain values.
        folder: The run folder.
        words: The overrides that were typed, but ``stage=data``.
    """
    lines = [*count_lines(data), "", *plan_lines(data, config)]
    words = words if data.classes else ["stage=dae", *words]
    sheet = folder / "contact_sheet.png"
    write_png(contact_sheet(data), sheet)
    write_json(folder / "run.json", {**read_json(folder / "run.json"), "shown": lines})
    end = [
        f"Nothing was trained. Some of the images: {path_from_here(sheet)}",
        f"Train: {train_command()} {shlex.join(words)}",
    ]
    log.info("%s", "\n".join([*lines, "", *end]))


def count_lines(data: ImageDataModule) -> Iterator[str]:
    """A table of the images by class and split, and of the labels that stage 2 may use."""
    validation = "validation = test" if data.validation == "test" else "validation"
    splits = {
        "training": data.train,
        "with a label": data.train_labelled,
        validation: data.val,
        "test": data.test,
    }
    rows = [
        (name, [_of_class(split, label) for split in splits.values()])
        for label, name in enumerate(data.classes)
    ]
    if (data.train.labels < 0).any():
        rows.append(("(no class)", [int((split.labels < 0).sum()) for split in splits.values()]))
    rows.append(("all", [len(split.labels) for split in splits.values()]))
    table = [("class", *splits), *((name, *(f"{count:,}" for count in counts)) for name, counts in rows)]
    yield from aligned(table, right=range(1, len(splits) + 1))


def plan_lines(data: ImageDataModule, config: Mapping[str, Any]) -> Iterator[str]:
    """Size and channels, what was done to fit the images, and the steps of each stage."""
    colour = "grey" if data.channels == 1 else "colour"
    yield f"images: {data.image_size} x {data.image_size} pixels, {colour}"
    assert data.images is not None
    yield from (f"images: {note}" for note in (*data.images.notes, *data.images.warnings))
    trainer = config["trainer"]
    limits = trainer.get("limit_train_batches", 1.0), trainer.get("accumulate_grad_batches", 1)
    stages = stages_to_run({**config, "stage": "both" if data.classes else "dae"})
    for stage, view in (("dae", data), ("classifier", data.labelled())):
        if stage in stages:
            batches = view.count_batches(device_count(trainer))
            yield f"{stage}: {batches.steps_in_words(config[stage]['epochs'], *limits)}"
        elif not data.classes:
            yield f"{stage}: cannot be trained, since no image has a class"
        else:
            yield f"{stage}: is skipped, since this classifier does not use it"


def contact_sheet(data: ImageDataModule) -> Tensor:
    """Some training images, a row a class, as a picture (3, height, width) in uint8."""
    train, names = data.train, short_names(data.classes)
    wanted = torch.full((len(names),), COLUMNS)
    known = (train.labels >= 0).nonzero().squeeze(1)
    seed = derive_seed("contact sheet", data.split_seed)
    chosen = known[from_each_class(train.labels[known], wanted, seed)]
    rows = {
        name: bytes_to_floats(train.images[chosen[train.labels[chosen] == label]])
        for label, name in enumerate(names[:MOST_ROWS])
    }
    title = f"Training images of {data.source_name}"
    if len(names) > MOST_ROWS:
        title += f", the first {MOST_ROWS} of {len(names)} classes"
    if not rows:
        rows = {"no class": bytes_to_floats(train.images[:COLUMNS])}
    return draw_image_rows(rows, title)


def _of_class(split: Split, label: int) -> int:
    return int((split.labels == label).sum())
