"""Shared by all tests: where MNIST is, running a command."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch
from zlib import crc32

import pytest

# A core for each worker: with more threads than cores both wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from filelock import FileLock
from omegaconf import OmegaConf

from dae.config.compose import files_read_once
from dae.launch import launch
from outcome import BRIEF, HAS_MNIST, MNIST, WATCHED, Outcome, Train

if TYPE_CHECKING:
    from dae.run import RunContext
    from dae.runs.record import StageResult


def pytest_report_header() -> str:
    if HAS_MNIST:
        return f"MNIST: {MNIST}"
    return f"MNIST: not in {MNIST}; tests marked mnist are deselected (DAE_MNIST=<folder> names another)"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if HAS_MNIST:
        return
    without = [item for item in items if item.get_closest_marker("mnist")]
    config.hook.pytest_deselected(items=without)
    items[:] = [item for item in items if item not in without]


@pytest.fixture(autouse=True, scope="session")
def _composed_once() -> Iterator[None]:
    with files_read_once():
        yield


@pytest.fixture(autouse=True, scope="session")
def _in_float32() -> Iterator[None]:
    """``trainer.precision=auto`` is 32-true on every machine; a test that is about precision says which."""
    with patch("torch.cpu._is_avx512_bf16_supported", return_value=False):
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_job_at_a_time() -> Iterator[None]:
    """The studies run in this process; other processes take seconds to start."""
    with patch("dae.training.machine.jobs_at_once", return_value=1):
        yield


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_is_heard() -> None:
    """A shell starts what runs in its background without it, and what is ignored stays so."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def mnist_root() -> Path:
    return MNIST


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Train:
    """Run ``python train.py <arguments>`` in this process, in an empty folder."""

    def run(*arguments: str, place: str = ".") -> Outcome:
        here = tmp_path / place
        here.mkdir(exist_ok=True)
        monkeypatch.chdir(here)
        capsys.readouterr()
        exit_code = launch(list(arguments))
        captured = capsys.readouterr()
        return Outcome(exit_code, captured.out, captured.err, here)

    return run


@pytest.fixture
def finished(train: Train, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Train:
    """``train``, but a run that a test of this session has made already, in any worker, is not made again.

    For tests that read what it has left, and change nothing of it.
    """
    session = tmp_path_factory.getbasetemp()
    shared = session if worker_id == "master" else session.parent

    def run(*arguments: str) -> Outcome:
        place = shared / "finished" / hashlib.sha256(repr(arguments).encode()).hexdigest()[:12]
        place.mkdir(parents=True, exist_ok=True)
        said = place / "said.json"
        with FileLock(place / "lock"):
            if not said.is_file():
                done = train(*arguments, place=str(place))
                said.write_text(json.dumps([done.exit_code, done.out, done.err]))
        exit_code, out, err = json.loads(said.read_text())
        return Outcome(exit_code, out, err, place)

    return run


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stage 1 takes no time and leaves no weights: for tests of jobs, and of what becomes of them.

    What it measures is another number for each config, and the same for the same.
    """

    from dae.config.settings import objective_of
    from dae.runs.record import StageResult  # with torch, which pytest itself does without

    def measure(context: RunContext, folder: Path) -> StageResult:
        value = crc32(OmegaConf.to_yaml(context.cfg, resolve=True).encode()) / 2**32
        return StageResult(
            {objective_of(context.cfg).name: value}, folder / "dae" / "best.ckpt", 0.1, context.cfg.dae.epochs
        )

    monkeypatch.setattr("dae.run.train_autoencoder", measure)


@pytest.fixture(scope="session")
def watched_run(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder of a run in which everything watched; beside it ``sweep``, four jobs that share stage 1.

    It is made once, by the worker that comes first.
    """
    session = tmp_path_factory.getbasetemp()
    place = (session if worker_id == "master" else session.parent) / "watched"
    place.mkdir(exist_ok=True)
    with FileLock(place / ".lock"):
        if not (place / ".made").exists():
            assert launch([*WATCHED, "callbacks=all", f"hydra.run.dir={place}/run"]) == 0
            swept = ["data.labels=20,40", "classifier.hidden=8,16"]
            assert launch(["-m", *BRIEF, "callbacks=none", *swept, f"hydra.sweep.dir={place}/sweep"]) == 0
            (place / ".made").touch()
    return place / "run"
