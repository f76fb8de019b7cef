"""``dae predict``: the classes of images, with their probabilities."""

from __future__ import annotations

import csv
import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from dae.commands.arguments import add_images, add_model, positive
from dae.commands.told import bad_files_told, with_progress
from dae.errors import ConfigError, Problem
from dae.text import printable
from dae.use.inputs import find_images

NAME = "predict"
HELP = "name the class of each image, with its probability"


@dataclass(frozen=True)
class Prediction:
    """Of one file.

    Attributes:
        path: As it was given.
        ranked: Classes and probabilities, the most probable first; none of a bad file.
        error: Why it cannot be read; empty if it can.
    """

    path: str
    ranked: list[tuple[str, float]]
    error: str = ""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what follows the name of the command."""
    add_model(parser)
    add_images(parser)
    words = "so many classes of each image, the most probable first (1; with --json all)"
    parser.add_argument("--top", metavar="K", type=positive, help=words)
    forms = parser.add_mutually_exclusive_group()
    words = "a header, then a row an image: path,class,probability,error"
    forms.add_argument("--csv", action="store_true", help=words)
    words = "a list of path, class, probability, probabilities of all classes, error"
    forms.add_argument("--json", action="store_true", help=words)


def run(options: Namespace) -> None:
    """Print a row an image, in the order of the images, each as soon as its batch is through.

    Raises:
        ConfigError: There are no images, or not so many classes.
        UserError: There is no classifier; or, at the end, some files could not be read as images.
    """
    inputs = find_images(options.images)
    from dae.use.models import load_classifier  # torch
    from dae.use.predict import outputs, ranked

    model = load_classifier(options.run, options.allow_targets)
    if (options.top or 1) > (most := len(model.classes)):
        raise ConfigError([Problem(f"--top {options.top}", f"there are {most} classes", f"--top {most}")])
    top = options.top or (most if options.json else 1)
    with bad_files_told(len(inputs)) as tell:

        def predictions() -> Iterator[Prediction]:
            found = outputs(model, inputs)
            for each, made in with_progress(found, len(inputs), "Predicting", not sys.stdout.isatty()):
                if isinstance(made, str):
                    tell(each.path, made)
                    yield Prediction(str(each.path), [], made)
                else:
                    yield Prediction(str(each.path), ranked(model, made)[:top])

        if options.json:
            _print_json(predictions())
        elif options.csv:
            _print_csv(predictions(), top)
        else:
            names = [str(each.path) for each in inputs], [*model.classes, "probability"]
            _print_table(predictions(), top, [max(map(len, map(printable, each))) for each in names])


def _print_json(predictions: Iterable[Prediction]) -> None:
    """A line a file: all of them the same keys, null where there is nothing."""
    between = "[\n"
    for each in predictions:
        first, share = each.ranked[0] if each.ranked else (None, None)
        row: dict[str, Any] = {"path": each.path, "class": first, "probability": share}
        row |= {"probabilities": dict(each.ranked) or None, "error": each.error or None}
        print(between, json.dumps(row), sep="", end="")
        between = ",\n"
    print("\n]")


def _print_csv(predictions: Iterable[Prediction], top: int) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["path", *_heads(top, "_"), "error"])
    for each in predictions:
        cells = [cell for pair in each.ranked for cell in pair] or [""] * (2 * top)
        shown = [each.path, *cells, each.error]
        writer.writerow([printable(cell) if isinstance(cell, str) else cell for cell in shown])


def _print_table(predictions: Iterable[Prediction], top: int, widths: list[int]) -> None:
    """Aligned, for people, who are told of the bad files on stderr."""
    path_width, class_width = widths

    def line(path: str, cells: Iterable[str]) -> str:
        return "  ".join([f"{path:<{path_width}}", *(f"{cell:<{class_width}}" for cell in cells)]).rstrip()

    print(line("path", _heads(top, " ")))
    for each in predictions:
        if each.ranked:
            cells = (cell for name, share in each.ranked for cell in (printable(name), f"{share:.4f}"))
            print(line(printable(each.path), cells))


def _heads(top: int, between: str) -> list[str]:
    numbers = ["", *(f"{between}{number}" for number in range(2, top + 1))]
    return [f"{word}{number}" for number in numbers for word in ("class", "probability")]
