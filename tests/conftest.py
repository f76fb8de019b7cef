"""Shared by all tests: where MNIST is, running a command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# A core for each worker: with more threads than cores both wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from dae.launch import launch
from helpers import HAS_MNIST, MNIST, Outcome, Train


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
