"""The command ``dae``: what can be done with runs, sweeps and trained models that are there already."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import dae
from dae.commands import leaderboard, report
from dae.errors import UserError
from dae.runs.console import settle_console
from dae.runs.disk import require_user_folder
from dae.runs.interruption import Terminated, interruptible
from dae.training.threads import settle_waiting

COMMANDS = (report, leaderboard)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: What follows ``dae``; None takes them from ``sys.argv``.

    Returns:
        The exit code: 0; 2 the command is refused; 1 anything else went wrong; 130 Ctrl-C; 143 SIGTERM.
    """
    settle_console()
    options = _parser().parse_args(arguments)
    settle_waiting()
    try:
        with interruptible():
            require_user_folder()
            options.run(options)
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
    parser = argparse.ArgumentParser("dae", description="Looks at what python train.py has left behind.")
    parser.add_argument("--version", action="version", version=f"lightning-dae {dae.__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    for command in COMMANDS:
        what = command.HELP
        own = commands.add_parser(command.NAME, help=what, description=what[0].upper() + what[1:] + ".")
        command.add_arguments(own)
        own.set_defaults(run=command.run)
    return parser
