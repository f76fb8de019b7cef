"""What of the log the console shows: of a single run everything, of a sweep some lines about its jobs."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from hydra.types import RunMode

# For the lines that belong on the console of a sweep.
sweep_log = logging.getLogger("dae.sweep")


class ConsoleHandler(logging.StreamHandler):
    """Writes to what ``sys.stdout`` is at the moment, so that lines appear above a live progress bar.

    Args:
        mode: Hydra's. What a job of a sweep logs is for its ``train.log``; only ``sweep_log`` passes.
    """

    def __init__(self, mode: RunMode = RunMode.RUN) -> None:
        super().__init__()
        self.in_sweep = mode == RunMode.MULTIRUN
        if self.in_sweep:
            self.addFilter(lambda record: record.name == sweep_log.name)

    @property
    def stream(self) -> TextIO:
        """``sys.stdout`` as it is now."""
        return sys.stdout

    @stream.setter
    def stream(self, _: TextIO) -> None:
        pass


def shows_progress() -> bool:
    """Whether somebody watches this run: it has a terminal, and is no job of a sweep."""
    handlers = logging.getLogger().handlers
    in_sweep = any(isinstance(handler, ConsoleHandler) and handler.in_sweep for handler in handlers)
    return sys.stdout.isatty() and not in_sweep
