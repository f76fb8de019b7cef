"""Arguments that several commands have."""

from __future__ import annotations

from argparse import ArgumentParser

RUN = "a run folder, a checkpoint, or the folder of a sweep, of which the winner counts"


def add_model(parser: ArgumentParser) -> None:
    """``RUN``, and the packages whose classes it may name."""
    parser.add_argument("run", metavar="RUN", help=RUN)
    parser.add_argument(
        "--allow-targets",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="a package besides ours whose classes the checkpoint may name, since you trust it",
    )


def add_images(parser: ArgumentParser) -> None:
    """``IMAGES``."""
    parser.add_argument(
        "images",
        metavar="IMAGES",
        nargs="+",
        help="files, folders (all images below them), patterns; - reads names from standard input",
    )
