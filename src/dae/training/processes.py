"""One run on several devices: the processes beside the one that a user started.

That one, rank 0, leads: it writes, logs and decides. A follower does the same fit on its share of each
batch and leaves nothing behind. Lightning would start them by typing the command line again, which in a sweep
is the whole sweep, and keep them for both stages. Here each stage has followers of its own, which are told
what to do by a file: the same alone, in a sweep and under every launcher.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from dae.errors import UserError

# Set in a follower: the file by which it says that it is there.
READY = "DAE_FOLLOWER_READY"


def device_count(trainer: Mapping[str, Any]) -> int:
    """How many devices a trainer's settings name."""
    devices = trainer.get("devices", 1)
    return devices if isinstance(devices, int) else len(devices)


def is_follower() -> bool:
    """Whether this process is a follower."""
    return READY in os.environ


@contextmanager
def followers(
    follow: Callable[[DictConfig, Path, str], None], cfg: DictConfig, folder: Path, stage: str
) -> Iterator[None]:
    """Run the block on as many devices as ``cfg.trainer`` names: start the other processes, end with them.

    Args:
        follow: A function of a module: what each of the other processes does with the arguments below.
        cfg: The run's config.
        folder: Where the stage's own folder lies.
        stage: ``dae`` or ``classifier``.

    Raises:
        UserError: A follower has failed.
    """
    count = device_count(cfg.trainer)
    if is_follower():
        Path(os.environ[READY]).touch()
    if is_follower() or count == 1:
        yield
        return
    threads = torch.get_num_threads()
    with TemporaryDirectory() as temporary, _environment(count):
        order = Path(temporary) / "order.yaml"
        content = {
            "follow": f"{follow.__module__}.{follow.__qualname__}",
            "config": OmegaConf.to_container(cfg, resolve=True),
            "folder": str(folder),
            "stage": stage,
        }
        OmegaConf.save(content, order)
        torch.set_num_threads(max(1, threads // count))
        started = [_Follower(order, rank) for rank in range(1, count)]
        try:
            while not all(follower.ready.exists() for follower in started):
                _raise_failed(started)
                time.sleep(0.02)
            yield
            for follower in started:
                follower.process.wait()
            _raise_failed(started)
        except UserError:
            raise
        except Exception as error:
            # A connection that has ended is the consequence, not the cause; a process takes a moment to end.
            time.sleep(1)
            _raise_failed(started, error)
            raise
        finally:
            for follower in started:
                follower.end()
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()
            torch.set_num_threads(threads)


class _Follower:
    """A started process.

    Args:
        order: What it is to do.
        rank: Of it; the leader's is 0.
    """

    def __init__(self, order: Path, rank: int) -> None:
        self.rank = rank
        self.ready = order.with_name(f"ready-{rank}")
        self.output = order.with_name(f"output-{rank}")
        environment = {
            **os.environ,
            "LOCAL_RANK": str(rank),
            "OMP_NUM_THREADS": str(torch.get_num_threads()),
            # A class of the user's own is found where it was found here.
            "PYTHONIOENCODING": "utf-8",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            READY: str(self.ready),
        }
        with self.output.open("w", encoding="utf-8") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dae.training.follower", str(order)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the leader, which passes it on in its own time; the second is Windows' way.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )

    def end(self) -> None:
        """End the process, by force if it does not end by itself."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def _raise_failed(started: Sequence[_Follower], cause: Exception | None = None) -> None:
    for follower in started:
        if follower.process.poll():
            said = follower.output.read_text(encoding="utf-8").strip().splitlines()
            count = len(started) + 1
            raise UserError(
                f"process {follower.rank + 1} of the {count} that train together has ended with exit code "
                f"{follower.process.returncode}: {said[-1] if said else 'without a word'}"
            ) from cause


@contextmanager
def _environment(count: int) -> Iterator[None]:
    """What Lightning reads of its process group; nothing of it remains, nor of what Lightning adds."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ours = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "NODE_RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": str(count),
    }
    before = dict(os.environ)
    os.environ.update(ours)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
