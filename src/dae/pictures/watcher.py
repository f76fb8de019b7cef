"""What only looks at a fit."""

from __future__ import annotations

from pytorch_lightning import Callback


class Watcher(Callback):
    """Changes nothing in a fit, so that of several processes of a run the first alone has it."""
