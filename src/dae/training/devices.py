"""One run on several devices: the worker processes beside rank zero, which the user has started.

Rank zero writes, logs and decides. A worker does the same fit on its share of each batch and leaves nothing
behind. Lightning would start workers by typing the command line again, which in a sweep is the whole sweep,
and keep them for both stages. Here each stage has workers of its own, which a file tells what to do: the same
alone, in a sweep and under every launcher. A worker is ``python -m dae.training.devices JOB_FILE``.
"""

from __future__ import annotations

import os
import pkgutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
from omegaconf import DictConfig, OmegaConf

from dae.errors import UserError
from dae.text import first_line

WORKER = "DAE_WORKER"  # set in a worker


def device_count(trainer: Mapping[str, Any]) -> int:
    """How many devices a trainer's settings name."""
    devices = trainer.get("devices", 1)
    return devices if isinstance(devices, int) else len(devices)


def is_worker() -> bool:
    """Whether this process is a worker."""
    return WORKER in os.environ


@contextmanager
def workers(
    work: Callable[[DictConfig, Path, str], None], cfg: DictConfig, folder: Path, stage: str
) -> Iterator[None]:
    """Run the block on as many devices as ``cfg.trainer`` names: start the workers, end with them.

    Args:
        work: A function of a module: what each worker does with the arguments below.
        cfg: The run's config.
        folder: Where the stage's own folder lies.
        stage: ``dae`` or ``classifier``.

    Raises:
        UserError: A worker has failed.
    """
    count = device_count(cfg.trainer)
    if is_worker() or count == 1:
        yield
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1]), "LOCAL_RANK": "0"}
    threads = torch.get_num_threads()
    share = str(max(1, threads // count))
    group |= {"WORLD_SIZE": str(count), "NODE_RANK": "0", "OMP_NUM_THREADS": share}
    job: dict[str, Any] = {
        "work": f"{work.__module__}.{work.__qualname__}",
        "folder": str(folder),
        "stage": stage,
    }
    job["config"] = OmegaConf.to_container(cfg, resolve=True)
    with TemporaryDirectory() as place, patch.dict(os.environ, group):
        OmegaConf.save(job, Path(place) / "job.yaml")
        torch.set_num_threads(int(share))
        started = [_Worker(Path(place), rank) for rank in range(1, count)]
        try:
            while not all(worker.ready.exists() for worker in started):
                _raise_failed(started)
                time.sleep(0.02)
            yield
            for worker in started:
                worker.process.wait()
            _raise_failed(started)
        except Exception as error:
            # A connection that has ended is the consequence, not the cause; a process takes a moment to end.
            time.sleep(0 if isinstance(error, UserError) else 1)
            _raise_failed(started, error)
            raise
        finally:
            for worker in started:
                worker.end()
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()
            torch.set_num_threads(threads)


class _Worker:
    """A started process.

    Args:
        place: Folder of the job file.
        rank: Of the worker; that of the user's process is 0.
    """

    def __init__(self, place: Path, rank: int) -> None:
        self.ready, self.output = place / f"ready-{rank}", place / f"output-{rank}"
        own = {"LOCAL_RANK": str(rank), WORKER: str(self.ready), "PYTHONIOENCODING": "utf-8"}
        own["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # a class of the user's own is found
        with self.output.open("w", encoding="utf-8") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dae.training.devices", str(place / "job.yaml")],
                env={**os.environ, **own},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for rank zero, which ends the workers in its own time
            )

    def end(self) -> None:
        """End the process, by force if it does not end by itself."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _raise_failed(started: list[_Worker], cause: Exception | None = None) -> None:
    for worker in started:
        if code := worker.process.poll():
            said = worker.output.read_text(encoding="utf-8").strip().splitlines() or ["without a word"]
            raise UserError(
                f"a process that trains along has ended with exit code {code}: {said[-1]}"
            ) from cause


def _work(file: str) -> int:
    """Be a worker; the exit code."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    job = OmegaConf.load(file)
    assert isinstance(job, DictConfig)
    work = pkgutil.resolve_name(job.work)
    Path(os.environ[WORKER]).touch()
    try:
        work(job.config, Path(job.folder), job.stage)
    except UserError as error:
        print(first_line(error))
        return 1
    return 0


def _end_with(rank_zero: int) -> None:
    """End this process when rank zero is gone, which may have been killed."""
    while os.getppid() == rank_zero:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(_work(sys.argv[1]))
