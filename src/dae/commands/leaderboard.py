"""``dae leaderboard``: the jobs of a sweep ranked, or the values of one of its keys compared."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from dae.commands.folders import require_sweep
from dae.errors import raise_problems

NAME = "leaderboard"
HELP = "rank the jobs of a sweep: the table, and its files"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what follows the name of the command."""
    parser.add_argument("folders", nargs="+", type=Path, metavar="folder", help="of a sweep")
    words = "a swept key: compare its values, each with the first one"
    parser.add_argument("--compare", metavar="key", help=words)


def run(options: Namespace) -> None:
    """Write the leaderboard of each sweep and show it.

    Raises:
        ConfigError: A folder is no sweep's, or the sweep does not vary the key that is to be compared.
    """
    from dae.sweeps.leaderboard import read_board, rebuild_leaderboard  # scipy
    from dae.sweeps.leaderboard_text import console_text

    for folder in options.folders:
        require_sweep(folder, "a sweep")
        sweep = folder.resolve()
        if options.compare is not None:
            from dae.sweeps.compared import key_problems

            searched = (sweep / "search.md").is_file()
            swept = read_board(sweep).swept
            raise_problems(key_problems(f"--compare {options.compare}", options.compare, swept, searched))
        board = rebuild_leaderboard(sweep, options.compare)
        if options.compare is not None:
            from dae.report.write import write_sweep_report

            write_sweep_report(sweep, options.compare)
        print(console_text(board))
