"""``dae embed``: the latents of images, in a file."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dae.commands.arguments import add_images, add_model, add_output, add_stage
from dae.commands.outputs import output_files, require_packages, require_suffix
from dae.commands.told import bad_files_told, with_progress
from dae.errors import UserError
from dae.text import path_from_here, pluralize, printable
from dae.use.inputs import find_images

if TYPE_CHECKING:
    from dae.use.latents import Row

NAME = "embed"
HELP = "write the latents of images: latents.npy, .csv or .parquet"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what follows the name of the command."""
    add_model(parser)
    add_images(parser)
    words = (
        "of .npy: the paths are in a .txt file beside it, a line a row; .csv, .parquet: in their column path"
    )
    add_output(parser, words)
    add_stage(parser)


def run(options: Namespace) -> None:
    """Write a row an image, flattened, in the order of the images; bad files have none.

    Raises:
        ConfigError: There are no images, or something is wrong with ``--out``.
        UserError: There is no encoder, no image, or the latents cannot be written; or, at the end, some files
            could not be read as images.
    """
    from dae.use.latents import WRITERS  # numpy

    suffix = require_suffix(options.out, list(WRITERS))
    require_packages(f"--out {options.out}", ["pyarrow"] if suffix == ".parquet" else [], "parquet")
    inputs = find_images(options.images)
    files = [options.out, *([options.out.with_suffix(".txt")] if suffix == ".npy" else [])]
    paths: list[str] = []
    with bad_files_told(len(inputs)) as tell:
        with output_files(files, options.overwrite) as temporaries:
            from dae.use.models import load_encoder  # torch
            from dae.use.predict import outputs

            model = load_encoder(options.run, options.allow_targets, options.stage)

            def rows() -> Iterator[Row]:
                for each, made in with_progress(outputs(model, inputs), len(inputs), "Embedding"):
                    if isinstance(made, str):
                        tell(each.path, made)
                    else:
                        paths.append(printable(str(each.path)))
                        yield paths[-1], made.flatten().numpy()

            WRITERS[suffix](temporaries[0], rows())
            if not paths:
                found = pluralize(len(inputs), "file")
                raise UserError(f"None of {found} could be read as an image: nothing is written")
            for names in temporaries[1:]:
                names.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
        print(f"The latents of {pluralize(len(paths), 'image')}, by {model.checkpoint}", file=sys.stderr)
        print(path_from_here(options.out))
