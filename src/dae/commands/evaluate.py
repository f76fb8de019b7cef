"""``dae evaluate``: a run's checkpoints measured on any data, under any noise."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from dae.commands.arguments import add_model

if TYPE_CHECKING:  # torch
    from dae.evaluation import Evaluation

NAME = "evaluate"
HELP = "measure a run again: on its own data or any other, under any noise"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what follows the name of the command."""
    add_model(parser)
    parser.add_argument(
        "words",
        metavar="WORD",
        nargs="*",
        help="as for training, of data, dae/noise and trainer: data=image_folder data.root=IMAGES "
        "dae/noise=gaussian dae.noise.std=0.4; what is left out is as in the run",
    )
    parser.add_argument("--split", choices=("test", "val", "train"), default="test", help="default: test")
    parser.add_argument("--stage", choices=("dae", "classifier"), help="default: all that the run has")
    parser.add_argument("--config-dir", type=Path, metavar="FOLDER", help="with configs of your own")
    parser.add_argument("--json", action="store_true", help="figures and intervals as JSON, for programs")


def run(options: Namespace) -> None:
    """Measure and print.

    Raises:
        ConfigError: The words, or what they come to, are refused.
        UserError: The run or the images cannot be read.
    """
    from dae.evaluation import evaluate  # torch
    from dae.files import json_text

    found = evaluate(
        options.run,
        options.words,
        split=options.split,
        stage=options.stage,
        allow_targets=options.allow_targets,
        config_dir=options.config_dir,
    )
    sys.stdout.write(json_text(asdict(found)) if options.json else _table(found))


def _table(found: Evaluation) -> str:
    """The evaluation for people."""
    from dae.metrics import meaning
    from dae.text import format_figure, pluralize

    lines = [f"checkpoints  {', '.join(found.checkpoints.values())}"]
    lines += [f"data         {found.data}", f"measured on  {pluralize(found.images, f'{found.split} image')}"]
    if found.noise:
        arguments = [f"{key} {value}" for key, value in found.noise.items() if key != "_target_"]
        kind = " ".join([found.noise["_target_"].rpartition(".")[2], *arguments])
        lines += [f"noise        {kind}, {'as given' if found.noise_given else 'the reference noise'}"]
    lines += [f"note         {note}" for note in found.notes]
    rows = [("metric", "value", "95 % interval", "")]
    for name, figure in found.figures.items():
        interval = " to ".join(map(format_figure, figure.interval)) if figure.interval else figure.how
        what = meaning(name).replace("the reference noise", "this noise")
        if found.noise_given and name.startswith("classifier/"):
            what += ", of the clean input"  # it is given no noise
        rows.append((name, format_figure(figure.value), interval, what))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([*lines, "", *(line.rstrip() for line in table)]) + "\n"
