"""The process of a run: what a signal does to it, and where its log goes. Without torch."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from types import FrameType
from typing import TextIO

from dae.errors import UserError

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
TWICE = 0.5  # seconds: a wrapper may pass on what the terminal has sent already
# For the lines that belong on the console of a sweep.
sweep_log = logging.getLogger("dae.sweep")


class Terminated(SystemExit):
    """A signal, as an exception, so that the run writes its result on its way out.

    Args:
        code: The exit code, 128 and the signal's number.
    """

    def __str__(self) -> str:
        return f"interrupted by {NAMES[signal.Signals(int(str(self.code)) - 128)]}"


def leave_quietly() -> None:
    """Have Ctrl-C end this process at once, without a traceback; until ``interruptible`` has its own way."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


@contextmanager
def interruptible(words: str = "") -> Iterator[None]:
    """Have the first Ctrl-C or SIGTERM raise ``Terminated`` in the block, and a second one end the process.

    Where somebody else handles a signal or has it ignored (``nohup``, submitit), and in a thread, to which
    Python sends none, all stays as it is.

    Args:
        words: Said at once.
    """
    received: list[float] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if received and time.monotonic() - received[0] > TWICE:
            _leave(number, frame)
        if not received:
            received.append(time.monotonic())
            os.write(2, f"{words}\n".encode() if words else b"")
            raise Terminated(128 + number)

    free = (signal.SIG_DFL, signal.default_int_handler, _leave)
    in_main = threading.current_thread() is threading.main_thread()
    previous = {number: signal.getsignal(number) for number in NAMES if in_main}
    previous = {number: handler for number, handler in previous.items() if handler in free}
    for number in previous:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def told(run: Callable[[], object]) -> int:
    """Run something and say in words what went wrong; the exit code. For ``train.py`` and for ``dae``."""
    try:
        run()
        sys.stdout.flush()  # what waits in the buffer counts, too
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    except SystemExit as stop:
        if isinstance(stop.__cause__, UserError):  # out of a callback of Hydra's
            print(stop.__cause__, file=sys.stderr)
            return stop.__cause__.exit_code
        return stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        return 130
    return 0


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
    """``train.log``, without the lines about the jobs of a sweep.

    Args:
        filename: Made with the first record.
    """

    def __init__(self, filename: str) -> None:
        super().__init__(filename, encoding="utf-8", delay=True)
        self.addFilter(lambda record: record.name != sweep_log.name)


def shows_progress() -> bool:
    """Whether somebody watches this run: it has a terminal, and is no job of a sweep."""
    handlers = logging.getLogger().handlers
    in_sweep = any(isinstance(handler, ConsoleHandler) and handler.in_sweep for handler in handlers)
    return sys.stdout.isatty() and not in_sweep
