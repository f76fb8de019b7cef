"""Where the log goes: ``train.log``, and the console, of a sweep some lines about its jobs."""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, TextIO

# Where those who read have gone: `| head -1`.
GONE = (errno.EPIPE,)
# For the lines that belong on the console of a sweep.
sweep_log = logging.getLogger("dae.sweep")


class ConsoleHandler(logging.StreamHandler):
    """Writes to what ``sys.stdout`` is at the moment, so that lines appear above a live progress bar.

    Args:
        mode: Hydra's. What a job of a sweep logs is for its ``train.log``; only ``sweep_log`` passes.
    """

    def __init__(self, mode: Enum | None = None) -> None:
        super().__init__()
        self.in_sweep = mode is not None and mode.name == "MULTIRUN"  # Hydra's, not imported
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


class _Console(io.FileIO):
    """A standard stream that takes what cannot be written, too; the first time one line on stderr says so.

    Attributes:
        counts: Whether that is an error instead: this process is there for what it prints.
        complained: Whether something could not be written.
    """

    counts = False
    complained = False

    def write(self, data: Any, /) -> int:
        """Write what can be written."""
        try:
            return super().write(data)
        except OSError as error:
            if not self.complained:
                self.complained = True
                if _Console.counts:
                    raise OSError(error.errno, error.strerror, "standard output") from error
                if error.errno not in GONE:
                    print(f"What is printed is not complete: {error.strerror}", file=sys.stderr)
            return memoryview(data).nbytes


def settle_console() -> None:
    """Have a run outlive its console: what that cannot take is no error of the run.

    A sign that its encoding lacks is shown as ``?``. Where there is nobody to read, by ``| head -1`` or
    ``>&-``, or no room to write, nothing more is shown.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        buffer = getattr(stream, "buffer", None)
        raw = getattr(buffer, "raw", buffer)  # without a buffer by python -u
        if stream is None:
            stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
        elif stream is getattr(sys, f"__{name}__") and isinstance(
            raw, io.FileIO
        ):  # else somebody captures it
            stream.flush()
            console = _Console(raw.fileno(), "w", closefd=False)
            console.complained = name == "stderr"  # there is nowhere to complain to
            stream = io.TextIOWrapper(
                console if raw is buffer else io.BufferedWriter(console),
                encoding=stream.encoding,
                line_buffering=stream.line_buffering,
                write_through=stream.write_through,
            )
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
        setattr(sys, name, stream)


@contextmanager
def output_that_counts() -> Iterator[None]:
    """Have the block end where what it prints cannot be written: it is there for nothing else.

    Raises:
        BrokenPipeError: Those who read have gone: ``| head -1``.
        OSError: The disk is full, or else.
    """
    _Console.counts = True
    try:
        yield
        sys.stdout.flush()
    finally:
        _Console.counts = False


def shows_progress() -> bool:
    """Whether somebody watches this run: it has a terminal, and is no job of a sweep."""
    handlers = logging.getLogger().handlers
    in_sweep = any(isinstance(handler, ConsoleHandler) and handler.in_sweep for handler in handlers)
    return sys.stdout.isatty() and not in_sweep
