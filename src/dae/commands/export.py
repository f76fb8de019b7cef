"""``dae export``: a part of a trained model for other programs, with a card that says how it is used."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from pathlib import Path

from dae.commands.arguments import add_model, add_output, add_stage, one_of
from dae.commands.outputs import output_files, require_packages, require_suffix
from dae.errors import ConfigError, Problem
from dae.files import json_text
from dae.text import path_from_here
from dae.use.formats import FORMATS, PARTS

NAME = "export"
HELP = "write a part of a trained model for other programs: ONNX, torch.export, safetensors"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what follows the name of the command."""
    add_model(parser)
    words = "images to latents; latents to images; images to denoised images; images to probabilities"
    parser.add_argument("--part", type=one_of(PARTS), metavar=_choice(PARTS), required=True, help=words)
    parser.add_argument("--format", type=one_of(FORMATS), metavar=_choice(FORMATS), required=True)
    add_output(
        parser, "ends in .onnx, .pt2 or .safetensors; beside it FILE.json and FILE.md say how it is used"
    )
    add_stage(parser)


def run(options: Namespace) -> None:
    """Write the file and its card, if it computes what the original does.

    Raises:
        ConfigError: Something is wrong with ``--out`` or ``--stage``.
        UserError: A package is missing, the run has no such part, or that cannot be exported, or written.
    """
    out: Path = options.out
    kind = FORMATS[options.format]
    if options.stage and options.part != "encoder":
        raise ConfigError([Problem(f"--stage {options.stage}", "is of a meaning for --part encoder alone")])
    require_suffix(out, [kind.suffix])
    require_packages(f"--format {options.format}", kind.packages, "export")
    beside = [out.with_name(f"{out.name}.{suffix}") for suffix in ("json", "md")]
    with output_files([out, *beside], options.overwrite) as (file, values, text):
        from dae.use.card import card_text, describe  # torch
        from dae.use.export import write_export
        from dae.use.parts import load_part

        part = load_part(options.part, options.run, options.allow_targets, options.stage)
        card = describe(part, options.format, out.name)
        difference = write_export(part, options.format, file, json_text(card))
        values.write_text(json_text(card), encoding="utf-8")
        text.write_text(card_text(card), encoding="utf-8")
    print(f"Compared with {part.model.checkpoint}: equal to {difference:.1g}", file=sys.stderr)
    for path in (out, *beside):
        print(path_from_here(path))


def _choice(names: Iterable[str]) -> str:
    return f"{{{','.join(names)}}}"
