"""What Hydra tells of a sweep while it runs: where it lies, and which of how many jobs begins."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from dae.words import format_duration

log = logging.getLogger(__name__)


class SweepFolder(Callback):
    """Hears from Hydra where the sweep of this process lies: when it has ended, nothing else tells.

    Its end is not heard here, since Hydra calls ``on_multirun_end`` only if no job has failed.
    """

    current: ClassVar[Path | None] = None

    def __init__(self) -> None:
        self.jobs = self.begun = 0
        self.started = 0.0

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Note the folder, and how many jobs are to come."""
        SweepFolder.current = Path(config.hydra.sweep.dir).absolute()
        self.jobs, self.begun = count_jobs(config), 0
        self.started = time.perf_counter()

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        """Say which job of how many begins, and about how long the others take; in one process only."""
        if not self.jobs or SweepFolder.current is None:  # the second: this is a copy in another process
            return
        left = ""
        if self.begun:
            each = (time.perf_counter() - self.started) / self.begun
            left = f", about {format_duration(each * (self.jobs - self.begun))} left"
        self.begun += 1
        log.info("Job %d of %d%s", self.begun, self.jobs, left)


def count_jobs(config: DictConfig) -> int:
    """How many jobs a sweep has: each combination of the values of its keys, or the trials of a search.

    0 if it cannot be told.
    """
    sweeper = config.hydra.sweeper
    if "n_trials" in sweeper:
        return int(sweeper.n_trials)
    swept = {key: f"{key}={value}" for key, value in (sweeper.params or {}).items()}
    typed = OverridesParser.create().parse_overrides([*swept.values(), *config.hydra.overrides.task])
    # What is typed takes the place of what the config says.
    by_key = {override.get_key_element(): override for override in typed}
    if any(isinstance(override.value(), Glob) for override in typed):
        return 0  # only the sweeper knows what is there
    return math.prod(len(list(o.sweep_iterator())) for o in by_key.values() if o.is_sweep_override())
