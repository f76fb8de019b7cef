"""Threads: how many, and how they wait. What the waiting costs is timed by benchmarks/threads.py."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from dae.training import threads
from dae.training.threads import WAITING, available_cores, settle_count, settle_waiting
from helpers import SMOKE
from outcome import Train


@pytest.fixture(autouse=True)
def _untouched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As at the start of a process whose user has set nothing."""
    for name in (*WAITING, "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "")  # so that it is restored, whatever the test does to it
        monkeypatch.delenv(name)
    monkeypatch.setattr(threads, "sys", SimpleNamespace(modules={}))
    monkeypatch.setattr(threads, "_reason", "set in the environment")
    monkeypatch.setattr(threads, "available_cores", lambda: 2)
    monkeypatch.setattr(threads, "_default_count", lambda: 2)
    yield
    torch.set_num_threads(1)


def waiting() -> dict[str, str]:
    return {name: os.environ[name] for name in WAITING if name in os.environ}


@pytest.mark.parametrize(
    ("load", "expected"),
    [(0.3, {"GOMP_SPINCOUNT", "KMP_BLOCKTIME"}), (1.0, {"OMP_WAIT_POLICY"}), (7.0, {"OMP_WAIT_POLICY"})],
)
def test_the_way_of_waiting_depends_on_the_load(monkeypatch, load, expected):
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 9.0, 9.0))
    settle_waiting()
    assert waiting().keys() == expected
    assert f"load average {load}" in threads._reason


@pytest.mark.parametrize("name", WAITING)
def test_the_users_own_way_of_waiting_is_kept(monkeypatch, name):
    monkeypatch.setenv(name, "7")
    settle_waiting()
    assert waiting() == {name: "7"}


def test_after_torch_nothing_is_pretended(monkeypatch):
    monkeypatch.setattr(threads, "sys", sys)
    settle_waiting()
    assert waiting() == {}
    assert "torch was imported before" in threads._reason


@pytest.mark.parametrize(
    ("affinity", "quota", "cores"),
    [
        ({0, 5}, "800000 100000", 2),
        ({0, 1, 2, 3}, "150000 100000", 1),
        ({3}, "20000 100000", 1),
        ({1, 2}, "max 100000", 2),
        ({7}, "", 1),
    ],
)
def test_available_cores(monkeypatch, tmp_path, affinity, quota, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: affinity, raising=False)
    file = tmp_path / "cpu.max"
    if quota:
        file.write_text(f"{quota}\n")
    assert available_cores(file) == cores


@pytest.mark.parametrize(
    ("environment", "arguments", "count", "words"),
    [
        ({}, {}, 2, "2 (2 cores available)"),
        ({"OMP_NUM_THREADS": "2"}, {}, 2, "2 (OMP_NUM_THREADS)"),
        ({}, {"launcher_cores": 1}, 1, "1 (hydra.launcher.cpus_per_task)"),
        ({}, {"began_with": 1}, 1, "1 (as this run was begun)"),
        ({}, {"began_with": 64}, 2, "This run was begun with 64 threads: from here on its last digits may"),
        ({"OMP_NUM_THREADS": "2"}, {"began_with": 1}, 2, "This run was begun with 1 thread: from"),
    ],
)
def test_how_many_threads(monkeypatch, caplog, environment, arguments, count, words):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with caplog.at_level("INFO"):
        settle_count(**arguments)
    assert torch.get_num_threads() == count
    assert words in caplog.text
    assert caplog.text.count("Threads: ") == 1


def test_a_run_notes_its_threads_and_a_resumed_one_keeps_them(monkeypatch, train: Train):
    begun = train(*SMOKE, "stage=dae")
    file = begun.folder / "run.json"
    noted = json.loads(file.read_text())
    assert noted["threads"] == 2
    assert "Threads: 2 (2 cores available), waiting: " in begun.out
    file.write_text(json.dumps({**noted, "threads": 1}))
    resumed = train(f"resume={begun.folder}", "dae.epochs=2")
    assert "Threads: 1 (as this run was begun)" in resumed.out
    assert json.loads(file.read_text())["resumed"][-1]["threads"] == 1
