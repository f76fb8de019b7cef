"""Where the log goes: ``train.log``, and the console, of a sweep some lines about its jobs."""

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


class RunLog(logging.FileHandler):
    """``train.log``. If it cannot be written, one line on stderr says so, instead of a traceback a line.

    Args:
        filename: Made with the first record.
    """

    def __init__(self, filename: str) -> None:
        super().__init__(filename, encoding="utf-8", delay=True)
        self.complained = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, but not those about the jobs of a sweep: another process may be running this job."""
        if record.name == sweep_log.name:
            return
        try:
            super().emit(record)
        except OSError:  # of opening the file; `handleError` has those of writing to it
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Say once what is wrong with the file; raise what is wrong with the code."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self.complained:
            self.complained = True
            print(f"{self.baseFilename} is not complete: {error}", file=sys.stderr)


def shows_progress() -> bool:
    """Whether somebody watches this run: it has a terminal, and is no job of a sweep."""
    handlers = logging.getLogger().handlers
    in_sweep = any(isinstance(handler, ConsoleHandler) and handler.in_sweep for handler in handlers)
    return sys.stdout.isatty() and not in_sweep
