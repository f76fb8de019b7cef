"""Images a second, time spent on data, and peak memory of a stage."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer

from dae.pictures.watcher import Watcher

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

log = logging.getLogger(__name__)


class Throughput(Watcher):
    """Images a second, seconds, and the share of them that waits for data, of each epoch's training.

    On a GPU the clock is the host's, which runs ahead within an epoch and is caught up with at its end.
    """

    def __init__(self) -> None:
        self.images = 0
        self.training = self.waiting = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clocks."""
        self.epoch_started = self.waits_since = time.perf_counter()
        self.epoch_waiting = 0.0
        self.epoch_images = 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, *_: Any) -> None:
        """Count the time that was spent waiting for the batch."""
        self.epoch_waiting += time.perf_counter() - self.waits_since
        self.epoch_images += len(batch[1]) * trainer.world_size

    def on_train_batch_end(self, *_: Any) -> None:
        """The next one is waited for. Training ends with the last batch: validation is not counted."""
        self.waits_since = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the figures of the epoch."""
        seconds = self.waits_since - self.epoch_started
        self.images += self.epoch_images
        self.training += seconds
        self.waiting += self.epoch_waiting
        prefix = f"{pl_module.stage}/train"
        values = {
            f"{prefix}/images_per_second": self.epoch_images / seconds,
            f"{prefix}/seconds": seconds,
            f"{prefix}/data_share": self.epoch_waiting / seconds,
        }
        for logger in trainer.loggers:
            logger.log_metrics(values, step=trainer.current_epoch + 1)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log one line for the whole fit."""
        if not self.images:
            return
        speed = f"{self.images / self.training:,.0f} images a second"
        share = f"{self.waiting / self.training:.1%} of the time spent on data"
        peak = peak_memory(pl_module.device)
        memory = "" if peak is None else f", peak memory {peak / 1e9:.2f} GB"
        log.info("%s: %s, %s%s", pl_module.stage, speed, share, memory)


def peak_memory(device: torch.device) -> int | None:
    """Bytes: of the device's allocator on CUDA, else of the process since its start; None on Windows."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if resource is None:
        return None
    # Kilobytes on Linux, bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
