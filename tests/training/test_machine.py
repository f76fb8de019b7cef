"""Threads: how many, and how they wait."""

from __future__ import annotations

import os

import pytest

from dae.training import machine
from dae.training.machine import SPIN, available_cores, configure_waiting, thread_count


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SPIN, "OMP_WAIT_POLICY", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "")  # so that it is restored, whatever the test does to it
        monkeypatch.delenv(name)
    monkeypatch.setattr(machine, "available_cores", lambda: 8)


def test_waiting_is_chosen_unless_the_user_has(monkeypatch):
    configure_waiting()
    assert {name: os.environ[name] for name in SPIN} == SPIN
    for name in SPIN:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    configure_waiting()
    assert not SPIN.keys() & os.environ.keys()


@pytest.mark.parametrize(
    ("affinity", "quota", "cores"),
    [
        ({0, 5}, "800000 100000", 2),
        ({0, 1, 2, 3}, "150000 100000", 1),
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
    ("asked", "environment", "launcher", "count"),
    [
        ("auto", {}, {}, 8),
        (3, {"OMP_NUM_THREADS": "2"}, {"n_jobs": 2}, 3),
        ("auto", {"OMP_NUM_THREADS": "2"}, {"n_jobs": 2}, 2),
        ("auto", {}, {"cpus_per_task": 5}, 5),
        ("auto", {}, {"n_jobs": 3}, 2),
        ("auto", {}, {"n_jobs": -1}, 1),
        ("auto", {}, {"n_jobs": 100}, 1),
    ],
)
def test_how_many_threads(monkeypatch, asked, environment, launcher, count):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert thread_count(asked, launcher) == count
