"""The command ``dae``: to train, and what can be done with what has been trained."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import dae
from dae.commands import demo, denoise, embed, evaluate, export, leaderboard, noise, predict, report, train
from dae.runs.process import interruptible, told
from dae.text import import_from_here
from dae.training.machine import configure_waiting

COMMANDS = (denoise, predict, evaluate, embed, export, demo, noise, report, leaderboard)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: What follows ``dae``; None takes them from ``sys.argv``.

    Returns:
        The exit code: 0; 2 the command is refused; 1 anything else went wrong; 130 Ctrl-C; 143 SIGTERM.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == [train.NAME]:
        return train.launch_typed(arguments[1:])  # Hydra has a grammar of its own
    parser = _parser()
    options, further = parser.parse_known_args(arguments)
    # Words behind an option, which argparse passes over: predict RUN a.png --csv b.png
    words = next((getattr(options, name) for name in ("words", "images") if hasattr(options, name)), None)
    if words is not None and not any(word.startswith("-") for word in further):
        words.extend(further)
    elif further:
        parser.error(f"unrecognized arguments: {' '.join(further)}")
    configure_waiting()
    import_from_here()
    with interruptible():
        return told(lambda: options.execute(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "dae", description="Trains denoising autoencoders and classifiers, and uses what has been trained."
    )
    parser.add_argument("--version", action="version", version=f"lightning-dae {dae.__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    commands.add_parser(train.NAME, help=train.HELP)
    for command in COMMANDS:
        what = command.HELP
        own = commands.add_parser(command.NAME, help=what, description=what[0].upper() + what[1:] + ".")
        command.add_arguments(own)
        own.set_defaults(execute=command.run)
    return parser
