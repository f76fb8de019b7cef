"""Ctrl-C and SIGTERM: a word at once, an exception by which a run writes its end; a second time to stop now.

Without torch, so that ``train.py`` can ask for ``leave_quietly`` before anything else is imported.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

NAMES = {signal.SIGINT: "Ctrl-C (KeyboardInterrupt)", signal.SIGTERM: "SIGTERM"}
# Seconds: a wrapper may pass on what the terminal has sent already.
TWICE = 0.5


class Terminated(SystemExit):
    """A signal, as an exception, so that the run writes its result on its way out.

    Args:
        code: The exit code, 128 and the signal's number.
    """

    def __str__(self) -> str:
        return f"interrupted by {NAMES[signal.Signals(int(str(self.code)) - 128)]}"


class _State:
    """Of this process: a signal reaches its main thread alone."""

    received = 0  # the signal, once one has come
    at = 0.0
    pending = False  # whether it waits for the end of a block that is not to be interrupted
    held = 0
    words = ""


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
    mine = (signal.SIG_DFL, signal.default_int_handler, _leave)
    in_main = threading.current_thread() is threading.main_thread()
    previous = {n: signal.getsignal(n) for n in NAMES if in_main and signal.getsignal(n) in mine}
    if previous:
        _State.received, _State.pending, _State.words = 0, False, words
    told_elsewhere = sys.unraisablehook
    try:
        for number in previous:
            signal.signal(number, _handle)
        if previous:
            sys.unraisablehook = partial(_come_again, otherwise=told_elsewhere)
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if previous:
            sys.unraisablehook = told_elsewhere
            _State.received = 0


def lost_signal() -> Terminated | None:
    """The first signal, where its exception has been raised and something else has become of it.

    Other code that cleans up behind it may run into an error of its own, which takes its place, or pass over
    it: so does OmegaConf, in the middle of a list.
    """
    return Terminated(128 + _State.received) if _State.received and not _State.pending else None


@contextmanager
def signals_kept() -> Iterator[None]:
    """Have a signal end the block, or what follows it, even if its exception is lost on its way."""
    error = None
    try:
        yield
    except Exception as other:
        error = other
    if lost := lost_signal():
        raise lost from error
    if error:
        raise error


@contextmanager
def held_back() -> Iterator[None]:
    """Finish the block before a first signal is acted upon; a second one does not wait."""
    _State.held += 1
    try:
        yield
    finally:
        _State.held -= 1
        if _State.pending and not _State.held and threading.current_thread() is threading.main_thread():
            _State.pending = False
            raise Terminated(128 + _State.received)


def _handle(number: int, frame: FrameType | None) -> None:
    if _State.received:
        if time.monotonic() - _State.at > TWICE:
            _leave(number, frame)
        return
    _State.received, _State.at = number, time.monotonic()
    if _State.words:
        _say(_State.words)
    if _State.held:
        _State.pending = True
        return
    raise Terminated(128 + number)


def _come_again(
    ignored: sys.UnraisableHookArgs, otherwise: Callable[[sys.UnraisableHookArgs], object]
) -> None:
    """Have a signal come once more if Python ignores its exception, as in ``__del__`` and the like."""
    if not isinstance(ignored.exc_value, Terminated):
        otherwise(ignored)
        return
    number, _State.received, _State.words = _State.received, 0, ""
    # From another thread, since this one is still where exceptions are ignored.
    threading.Timer(0.01, _thread.interrupt_main, (number,)).start()


def _say(words: str) -> None:
    try:
        print(words, file=sys.stderr, flush=True)
    except RuntimeError:  # the signal came while something was being printed
        os.write(2, f"{words}\n".encode())


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)
