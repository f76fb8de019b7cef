"""How many threads compute, and how they wait for each other.

A step of stage 1 has some hundred short parallel parts, and after each of them the threads wait for the last.
GNU's OpenMP, which torch brings along, lets a waiting thread spin for 300,000 turns. Where every thread has a
core of its own, that is the fastest way. On a machine that does anything else, the one that spins keeps the
core from the one that is waited for, and a step takes up to fifty times as long.

The way of waiting changes no result, so it may depend on the load. The number of threads decides the last
bits of sums, so it depends on the cores of this process and on the config alone, and a resumed run keeps its
own.
"""

from __future__ import annotations

import logging
import os
import sys
from functools import cache
from pathlib import Path

from dae.words import counted

log = logging.getLogger(__name__)

# OpenMP's own variable, that of GNU's runtime (Linux), that of Intel's and LLVM's (macOS, conda).
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# On a quiet machine: spin through nearly all waits of a step, about 1 ms, then sleep. On two cores 20,000
# turns made a step 1.13 times as long, 100,000 did not (0.96, medians of three rounds).
SPIN = {"GOMP_SPINCOUNT": "100000", "KMP_BLOCKTIME": "1"}
# On a busy one: sleep at once. Beside two processes that compute, a step took 78 to 134 ms instead of 164 to
# 788. tests/benchmarks/threads.py measures both.
SLEEP = {"OMP_WAIT_POLICY": "passive"}
# The load average a core from which on a machine is busy: somebody else computes on half of the cores.
BUSY = 0.5

_reason = "set in the environment"


def settle_waiting() -> None:
    """Choose how threads wait, unless the user has. Torch reads it once, when it is imported."""
    global _reason
    if any(name in os.environ for name in WAITING):
        return
    if "torch" in sys.modules:
        _reason = "torch was imported before it could be chosen"
        return
    if not hasattr(os, "getloadavg"):
        os.environ.update(SLEEP)
        _reason = "this system does not say how busy it is"
        return
    load, cores = os.getloadavg()[0], available_cores()
    busy = load >= BUSY * cores
    os.environ.update(SLEEP if busy else SPIN)
    _reason = f"the machine is {'busy' if busy else 'quiet'}: load average {load:.1f}"


def settle_count(began_with: int | None = None, launcher_cores: int | None = None) -> None:
    """Choose how many threads compute; one line of the log says how many, how they wait, and why.

    Args:
        began_with: The number of threads that a resumed run has had until now.
        launcher_cores: What a launcher gives to each job and leaves to the job to keep to.
    """
    import torch  # after settle_waiting; and --help does without

    cores, chosen_by_user = available_cores(), "OMP_NUM_THREADS" in os.environ
    count, why = min(_default_count(), cores), f"{counted(cores, 'core')} available"
    if launcher_cores is not None:
        count, why = launcher_cores, "hydra.launcher.cpus_per_task"
    elif chosen_by_user:
        count, why = _default_count(), "OMP_NUM_THREADS"
    if began_with is not None and began_with != count:
        if chosen_by_user or began_with > cores:
            words = "This run was begun with %s: from here on its last digits may come out otherwise"
            log.warning(words, counted(began_with, "thread"))
        else:
            count, why = began_with, "as this run was begun"
    torch.set_num_threads(count)
    waiting = " ".join(f"{name}={os.environ[name]}" for name in WAITING if name in os.environ)
    log.info("Threads: %d (%s), waiting: %s (%s)", count, why, waiting or "OpenMP's default", _reason)


@cache
def _default_count() -> int:
    """What torch takes by itself, asked before anything has changed it: ``OMP_NUM_THREADS``, or its cores."""
    import torch  # see settle_count

    return torch.get_num_threads()


def available_cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """The cores that this process may use: its affinity, cut by the quota of its container.

    Args:
        quota: The file of Linux' control groups: microseconds of processor time, and of how many.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    granted, _, period = (
        quota.read_text(encoding="utf-8").partition(" ") if quota.is_file() else ("max", "", "")
    )
    return cores if granted == "max" else max(1, min(cores, int(granted) // int(period)))
