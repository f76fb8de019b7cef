"""One stage 1 for all jobs of a sweep that agree in it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dae.files import atomic_path
from dae.runs.stage_result import StageResult
from dae.words import path_from_here

log = logging.getLogger(__name__)


def stage1_digest(config: dict[str, Any], version: object) -> str:
    """A name for everything that stage 1 depends on; what only stage 2 or the loggers read is left out.

    Args:
        config: The job's, as plain values.
        version: Of the code.
    """
    parts = {key: config[key] for key in ("data", "dae", "seed", "trainer", "callbacks", "objective")}
    parts["data"] = {key: value for key, value in parts["data"].items() if key != "labels"}
    if not parts["objective"].startswith("dae/"):
        del parts["objective"]  # it decides nothing in stage 1
    text = json.dumps([parts, version], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def shared_stage(place: Path, job: Path, train: Callable[[Path], StageResult]) -> StageResult:
    """Stage 1 as whoever comes first trains it; the others wait for it.

    The lock is the operating system's, so that it ends with its process, and holds between machines where the
    file system passes locks on.

    Args:
        place: Folder of this stage 1, in the sweep's ``stage1/``.
        job: Run folder of the job; it gets a copy of ``dae/best.ckpt``, so that it can be looked at, resumed
            and moved by itself.
        train: Trains in a folder, or takes what has been trained there as it is.

    Returns:
        The stage's result with the job's own checkpoint, and the seconds that this job spent on it.
    """
    started = time.perf_counter()
    place.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place / ".lock")
    try:
        held = lock.acquire(blocking=False)
    except Timeout:
        log.info("Stage 1 is being trained by another job, in %s: waiting for it", path_from_here(place))
        held = lock.acquire()
    with held:
        result = train(place)
    checkpoint = job / "dae" / "best.ckpt"
    with atomic_path(checkpoint) as temporary:
        shutil.copyfile(result.checkpoint, temporary)
    origin = Path(os.path.relpath(place, job)).as_posix()
    seconds = time.perf_counter() - started
    own = replace(result, checkpoint=checkpoint, seconds=seconds, shared_from=origin)
    own.save()
    return own
