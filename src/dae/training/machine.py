"""What a process takes of its machine: how many threads compute, how they wait, how memory is kept.

Without torch, which reads how threads wait when it is imported.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
# Turns that a waiting thread spins before it sleeps (GNU's OpenMP; Intel's and LLVM's, in ms). Left alone it
# spins for 300,000: the fastest way where every thread has a core, and on a busy machine, where it keeps the
# core from the thread that is waited for, a step takes up to fifty times as long.
SPIN = {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "0"}


# What a job on MNIST takes at most.
JOB_BYTES = 800_000_000


def configure_waiting() -> None:
    """Choose how threads wait, unless the user has; torch reads it once, when it is imported."""
    if not {"OMP_WAIT_POLICY", *SPIN} & os.environ.keys():
        os.environ.update(SPIN)


def thread_count(asked: int | str, launcher: Mapping[str, Any]) -> int:
    """How many threads compute: the same number gives the same results, bit for bit.

    Args:
        asked: ``threads`` of the config: a number, or ``auto``.
        launcher: Hydra's, which says how many jobs run at once, or what each job gets.
    """
    if isinstance(asked, int):
        return asked
    if (given := os.environ.get("OMP_NUM_THREADS", "")).isdecimal():
        return int(given)
    if granted := launcher.get("cpus_per_task"):
        return int(granted)
    cores, jobs = available_cores(), int(launcher.get("n_jobs") or 1)
    return max(1, cores // jobs) if jobs > 0 else 1


def available_cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """The cores that this process may use: its affinity, cut by the quota of its container.

    Args:
        quota: The file of Linux' control groups: microseconds of processor time, and of how many.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    granted, _, period = (quota.read_text(encoding="utf-8") if quota.is_file() else "max").partition(" ")
    return cores if granted.strip() == "max" else max(1, min(cores, int(granted) // int(period)))


def total_memory() -> int | None:
    """Bytes that this process may use, cut by its control group; None where the system does not say."""
    names: Mapping[str, Any] = getattr(os, "sysconf_names", {})  # not on Windows
    if not {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= names.keys():
        return None
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    granted = limit.read_text(encoding="utf-8").strip() if limit.is_file() else "max"
    return min(total, int(granted)) if granted.isdecimal() else total


def jobs_at_once() -> int:
    """How many jobs this machine carries side by side: one a core, if each has its 0.8 GB."""
    memory = total_memory()
    carried = available_cores() if memory is None else memory // JOB_BYTES
    return max(1, min(available_cores(), carried))


@cache
def freeze_imports() -> None:
    """Spare the garbage collector, once a process, what is there now: torch alone takes it half a second."""
    gc.freeze()


def keep_freed_memory() -> None:
    """Let the process reuse large blocks instead of returning them to the kernel after each step.

    By default every activation above 32 MB at most is mapped anew, and each of its pages faults again when
    it is first written: a third to a half of a training step on a CPU. Linux with glibc only.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def release_memory() -> None:
    """Return what has been kept, after a stage: what comes next has tensors of other sizes."""
    gc.collect()  # a Trainer and its module hold each other
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
