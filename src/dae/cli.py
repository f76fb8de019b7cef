"""The command ``dae``: to train, and what can be done with what has been trained."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import dae
from dae.commands import demo, denoise, embed, evaluate, export, leaderboard, noise, predict, report, train
from dae.errors import UserError
from dae.runs.console import output_that_counts, settle_console
from dae.runs.disk import require_user_folder
from dae.runs.interruption import Terminated, interruptible
from dae.training.threads import settle_waiting
from dae.words import import_from_here, train_by, train_command

COMMANDS = (denoise, predict, evaluate, embed, export, demo, noise, report, leaderboard)


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
    parser = _parser()
    options, further = parser.parse_known_args(arguments)
    # Words behind an option, which argparse passes over: predict RUN a.png --csv b.png
    words = next((getattr(options, name) for name in ("words", "images") if hasattr(options, name)), None)
    if words is not None and not any(word.startswith("-") for word in further):
        words.extend(further)
    elif further:
        parser.error(f"unrecognized arguments: {' '.join(further)}")
    settle_waiting()
    try:
        with interruptible(), output_that_counts():
            require_user_folder()
            import_from_here()
            options.execute(options)
    except Terminated as stopped:
        return int(str(stopped.code))
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `| head -1` has what it wants
        return 0
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
