"""The command ``dae``: to train, and what can be done with what has been trained."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import dae
from dae.commands import demo, leaderboard, report, train
from dae.errors import UserError
from dae.runs.console import settle_console
from dae.runs.disk import require_user_folder
from dae.runs.interruption import Terminated, interruptible
from dae.training.threads import settle_waiting
from dae.words import train_by, train_command

COMMANDS = (demo, report, leaderboard)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: What follows ``dae``; None takes them from ``sys.argv``.

    Returns:
        The exit code: 0; 2 the command is refused; 1 anything else went wrong; 130 Ctrl-C; 143 SIGTERM.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    trains = arguments[:1] == [train.NAME]
    before = train_command()
    if trains or not Path("train.py").is_file():
        train_by("dae train")
    try:
        # Hydra has a grammar of its own.
        return train.launch_typed(arguments[1:]) if trains else _run(arguments)
    finally:
        train_by(before)


def _run(arguments: list[str]) -> int:
    settle_console()
    options = _parser().parse_args(arguments)
    settle_waiting()
    try:
        with interruptible():
            require_user_folder()
            options.execute(options)
    except Terminated as stopped:
        return int(str(stopped.code))
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


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
