"""The base class of the callbacks that only look at a fit."""

from __future__ import annotations

from pytorch_lightning import Callback


class Watcher(Callback):
    """A callback that changes nothing in a fit, so that only the first process of a run needs it."""
