"""``dae train``: what ``python train.py`` does in a checkout, from anywhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence

NAME = "train"
HELP = "train both stages, a sweep, a search: dae train --help has the words"


def launch_typed(arguments: Sequence[str]) -> int:
    """Hand what follows ``dae train`` over, flags and all; the exit code."""
    from dae.launch import launch  # Hydra

    return launch(arguments, program=sys.argv[0])
