"""A process beside the one that a user started: takes part in one stage of a run on several devices.

    python -m dae.training.follower ORDER

Started by ``processes.followers`` alone.
"""

from __future__ import annotations

import logging
import os
import pkgutil
import sys
import threading
import time
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from dae.errors import UserError
from dae.training.memory import keep_freed_memory


def main() -> int:
    """Follow the order, a file that ``processes.followers`` has written; the exit code."""
    order = OmegaConf.load(sys.argv[1])
    assert isinstance(order, DictConfig)
    logging.basicConfig(level=logging.WARNING)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    keep_freed_memory()
    # Its modules import torch, which takes seconds: by then the thread above must run.
    follow = pkgutil.resolve_name(order.follow)
    try:
        follow(order.config, Path(order.folder), order.stage)
    except UserError as error:
        print(" ".join(str(error).split()))
        return 1
    return 0


def _end_with(leader: int) -> None:
    """End this process when the leader is gone, which may have been killed."""
    while os.getppid() == leader:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
