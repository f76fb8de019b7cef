"""``dae report``: the page of a run, or of a sweep."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from dae.commands.folders import is_run, require_sweep
from dae.sweeps.jobs import read_jobs
from dae.text import path_from_here

NAME = "report"
HELP = "write report.html: one file that can be sent to a colleague"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what follows the name of the command."""
    parser.add_argument("folders", nargs="+", type=Path, metavar="folder", help="of a run or sweep")


def run(options: Namespace) -> None:
    """Write the page of each run, or those of a sweep and of all its jobs.

    Raises:
        ConfigError: A folder is neither.
    """
    from dae.report.write import write_run_report, write_sweep_report  # matplotlib

    for folder in options.folders:
        if is_run(folder):
            print(path_from_here(write_run_report(folder.resolve())))
            continue
        require_sweep(folder, "a run or a sweep")
        for job in read_jobs(folder.resolve()):
            write_run_report(job.folder)
        print(path_from_here(write_sweep_report(folder.resolve())))
