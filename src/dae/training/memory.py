"""Memory: glibc's allocator, told to keep what it is given back, and the search for garbage."""

from __future__ import annotations

import ctypes
import gc
import logging
import platform
from functools import cache

log = logging.getLogger(__name__)

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # <malloc.h>


@cache
def freeze_imports() -> None:
    """Spare the garbage collector, once a process, what is there now: Torch alone takes it half a second."""
    gc.freeze()


def release_memory() -> None:
    """Return what has been kept, after a stage: what comes next has tensors of other sizes."""
    gc.collect()  # a Trainer and its module hold each other
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def keep_freed_memory() -> None:
    """Let the process reuse large blocks instead of returning them to the kernel after each step.

    By default every activation above 32 MB at most is mapped anew, and each of its pages faults again when
    it is first written: a third to a half of a training step on a CPU. Linux with glibc only.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    done = libc.mallopt(M_MMAP_THRESHOLD, 1 << 30) and libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    log.info("Allocator: glibc %s freed memory", "keeps" if done else "would not keep")
