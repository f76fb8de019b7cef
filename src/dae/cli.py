"""``dae report`` and ``dae leaderboard``: what can be told of folders that are there already."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dae.errors import ConfigError, Problem, UserError, raise_problems
from dae.files import leads_out
from dae.runs.console import settle_console
from dae.runs.disk import require_user_folder
from dae.runs.interruption import Terminated, interruptible
from dae.sweeps.jobs import read_jobs
from dae.training.threads import settle_waiting
from dae.words import path_from_here, quoted_path


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
            for folder in options.folders:
                if options.compare is None:
                    options.command(folder)
                else:
                    compare(folder, options.compare)
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
    commands = parser.add_subparsers(required=True, metavar="command")
    for command, name, what, folders in (
        (report, "report", "write report.html: one file that can be sent to a colleague", "run or sweep"),
        (leaderboard, "leaderboard", "rank the jobs of a sweep: the table, and its files", "sweep"),
    ):
        own = commands.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
        own.add_argument("folders", nargs="+", type=Path, metavar="folder", help=f"of a {folders}")
        own.set_defaults(command=command, compare=None)
    words = "a swept key: compare its values, each with the first one"
    own.add_argument("--compare", metavar="key", help=words)  # of the last command
    return parser


def report(folder: Path) -> None:
    """Write the page of a run, or those of a sweep and of all its jobs.

    Raises:
        ConfigError: The folder is neither.
    """
    from dae.report.write import write_run_report, write_sweep_report

    if _is_run(folder):
        print(path_from_here(write_run_report(folder.resolve())))
        return
    _require_sweep(folder, "a run or a sweep")
    for job in read_jobs(folder.resolve()):
        if not leads_out(job.folder, folder):  # else the page would be written there
            write_run_report(job.folder)
    print(path_from_here(write_sweep_report(folder.resolve())))


def leaderboard(folder: Path) -> None:
    """Write the leaderboard of a sweep and show it.

    Raises:
        ConfigError: The folder is no sweep's.
    """
    from dae.sweeps.leaderboard import rebuild_leaderboard
    from dae.sweeps.leaderboard_text import console_text

    _require_sweep(folder, "a sweep")
    print(console_text(rebuild_leaderboard(folder.resolve())))


def compare(folder: Path, key: str) -> None:
    """Compare the values of a key in a sweep: write its leaderboard and its page, and show the answer.

    Raises:
        ConfigError: The folder is no sweep's, or the sweep does not vary the key.
    """
    from dae.report.write import write_sweep_report
    from dae.sweeps.compared import key_problems
    from dae.sweeps.leaderboard import read_board, rebuild_leaderboard
    from dae.sweeps.leaderboard_text import console_text

    _require_sweep(folder, "a sweep")
    sweep = folder.resolve()
    searched = (sweep / "search.md").is_file()
    raise_problems(key_problems(f"--compare {key}", key, read_board(sweep).swept, searched))
    board = rebuild_leaderboard(sweep, key)
    write_sweep_report(sweep, key)
    print(console_text(board))


def _is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (".hydra/overrides.yaml", "result.json", "config.yaml"))


def _require_sweep(folder: Path, expected: str) -> None:
    if read_jobs(folder):
        return
    if _is_run(folder):
        found, hint = "is the folder of a run", f"try dae report {quoted_path(folder)}"
    elif _is_run(folder.parent):
        found, hint = "lies in the folder of a run", f"try dae report {quoted_path(folder.parent)}"
    else:
        found = "holds no run and no jobs" if folder.is_dir() else "is not a folder"
        runs = sorted(Path().glob("outputs/*/result.json")) + sorted(Path().glob("multirun/*/multirun.yaml"))
        newest = sorted((file.parent for file in runs), key=lambda run: run.stat().st_mtime)[-3:]
        hint = f"the newest here: {', '.join(map(str, newest))}" if newest else ""
    raise ConfigError([Problem(str(folder), f"{found}, expected that of {expected}", hint)])
