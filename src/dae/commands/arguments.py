"""Arguments that several commands have."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterable
from pathlib import Path

from dae.text import closest_name

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


def add_stage(parser: ArgumentParser) -> None:
    """``--stage``: whose encoder is meant."""
    words = (
        "whose encoder of a run: that of stage 1 (dae, if not given), or that of stage 2, in which the blocks"
    )
    parser.add_argument(
        "--stage",
        type=one_of(("dae", "classifier")),
        metavar="{dae,classifier}",
        help=f"{words} that were trained with the classifier are others",
    )


def add_output(parser: ArgumentParser, words: str) -> None:
    """``--out`` and ``--overwrite``.

    Args:
        parser: Of the command.
        words: What the file is.
    """
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help=words)
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it is there already")


def one_of(names: Iterable[str]) -> Callable[[str], str]:
    """The type of an argument that is one of some names; another is refused with the nearest of them."""
    known = list(names)

    def checked(word: str) -> str:
        if word in known:
            return word
        near = closest_name(word, known)
        hint = f"; the nearest is {near}" if near else ""
        raise ArgumentTypeError(f"found {word!r}, expected {', '.join(known)}{hint}")

    return checked


def positive(word: str) -> int:
    """The type of an argument that counts something."""
    if not word.isdecimal() or int(word) < 1:
        raise ArgumentTypeError(f"found {word!r}, expected 1 or more")
    return int(word)
