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

from dae.config.settings import pretraining_word, training_noise
from dae.files import atomic_path
from dae.runs.folder import InUseError, lock, release
from dae.runs.record import StageResult
from dae.runs.records import OUTPUT_SUBDIR, read_hydra, read_overrides
from dae.sweeps.names import folder_name, slug
from dae.sweeps.table import is_below
from dae.text import path_from_here

log = logging.getLogger(__name__)

# Of the config: all that stage 1 depends on.
STAGE1_NODES = ("data", "dae", "pretraining", "seed", "trainer", "callbacks", "objective")
# Of its data: which labels stage 2 may use; stage 1 has no use for them without the callback probe.
STAGE2_DATA = ("labels", "labels_seed")


def stage1_digest(config: dict[str, Any], version: object) -> str:
    """A hash of everything that stage 1 depends on; what only stage 2 or the loggers read is left out.

    Args:
        config: The job's, as plain values.
        version: The version of the code, as plain values.
    """
    parts = {key: config[key] for key in STAGE1_NODES}
    if not any(node["_target_"].endswith(".Probe") for node in config["callbacks"].values()):
        parts["data"] = {key: value for key, value in parts["data"].items() if key not in STAGE2_DATA}
    # A plain autoencoder is the same, whatever noise it is not trained with.
    parts["dae"] = {**parts["dae"], "noise": training_noise(config)}
    parts["pretraining"] = pretraining_word(config)
    if not parts["objective"].startswith("dae/"):
        del parts["objective"]  # it decides nothing in stage 1
    text = json.dumps([parts, version], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def stage1_folder(sweep: Path, job: Path, digest: str) -> Path:
    """The folder of a shared stage 1: ``stage1/p-0.4_seed-0-2167eb50c1``, found by its digest if it is there.

    It is named after the overrides in which the shared stages of a sweep differ: those that the sweep varies
    and stage 1 depends on.

    Args:
        sweep: The sweep's folder.
        job: Run folder of a job that shares it.
        digest: From ``stage1_digest``.
    """
    swept = read_hydra(job / OUTPUT_SUBDIR / "hydra.yaml").get("callbacks", {}).get("sweep_folder", {})
    varied = [
        override
        for override in read_overrides(job)
        if override.partition("=")[0] in swept.get("swept", ()) and _decides_stage1(override)
    ]
    place = sweep / "stage1"
    return place / folder_name(place, slug(varied) or "shared", digest)


def _decides_stage1(override: str) -> bool:
    key, _, value = override.partition("=")
    if is_below(key, "objective"):
        return value.startswith("dae/")
    labels = any(is_below(key, f"data.{name}") for name in STAGE2_DATA)
    return not labels and any(is_below(key, node) for node in STAGE1_NODES)


def shared_stage(place: Path, job: Path, train: Callable[[Path], StageResult]) -> StageResult:
    """Train stage 1 in the job that comes first; the other jobs wait for its result.

    Who waits for a folder owns one job already, and who owns the folder waits for nobody.

    Args:
        place: From ``stage1_folder``.
        job: Run folder of the job; it gets a copy of ``dae/best.ckpt``, so that it can be looked at, resumed
            and moved by itself.
        train: Trains in the folder it is given, or returns the result that is there already.

    Returns:
        The stage's result with the job's own checkpoint, and the seconds that this job spent on it.
    """
    started = time.perf_counter()
    try:
        lock(place)
    except InUseError:
        log.info("Stage 1 is being trained by another job, in %s: waiting for it", path_from_here(place))
        lock(place, wait=True)
    try:
        result = train(place)
    finally:
        release(place)
    checkpoint = job / "dae" / "best.ckpt"
    checkpoint.parent.mkdir(exist_ok=True)
    with atomic_path(checkpoint) as temporary:
        shutil.copyfile(result.checkpoint, temporary)
    origin = Path(os.path.relpath(place, job)).as_posix()
    seconds = time.perf_counter() - started
    own = replace(result, checkpoint=checkpoint, seconds=seconds, shared_from=origin)
    own.save()
    return own
