"""``dae leaderboard``: the jobs of a sweep ranked, or the values of one of its keys compared."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from dae.commands.folders import require_sweep
from dae.errors import raise_problems
from dae.sweeps.hook import key_problems
from dae.sweeps.order import ask
from dae.sweeps.table import read_table

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
    from dae.sweeps.leaderboard import console_text, write_leaderboard

    for folder in options.folders:
        require_sweep(folder, "a sweep")
        sweep = folder.resolve()
        if options.compare is not None:
            is_search = (sweep / "search.md").is_file()
            where, keys = f"--compare {options.compare}", read_table(sweep).keys
            raise_problems(key_problems(where, options.compare, keys, is_search=is_search))
            ask(sweep, options.compare)
        table, comparison = write_leaderboard(sweep)
        if options.compare is not None:
            from dae.report.write import write_sweep_report

            write_sweep_report(sweep)
        print(console_text(table, comparison))
