"""The console's log handler."""

from __future__ import annotations

import logging
import sys
from typing import TextIO


class ConsoleHandler(logging.StreamHandler):
    """Writes to what ``sys.stdout`` is at the moment, so that lines appear above a live progress bar."""

    @property
    def stream(self) -> TextIO:
        """The present ``sys.stdout``."""
        return sys.stdout

    @stream.setter
    def stream(self, _: TextIO) -> None:
        pass
