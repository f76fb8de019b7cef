"""A run outlives its console, a search is alone in its folder, a signal and what went wrong are not lost."""

from __future__ import annotations

import errno
import io
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from filelock import FileLock

from dae import cli
from dae.launch import launch
from dae.report.run_folder import RunFolder
from dae.report.run_page import next_commands
from dae.report.sweep_end import close_sweep
from dae.runs.console import settle_console
from dae.runs.disk import disk_error
from dae.runs.interruption import Terminated, interruptible
from dae.runs.record import RunRecord
from dae.runs.records import read_result
from helpers import SMOKE, add_job, pipe_without_reader
from outcome import Train


@pytest.mark.parametrize("where", ["| head -1", ">&-", "> /dev/full"])
@pytest.mark.parametrize("unbuffered", [False, True])
def test_what_a_console_cannot_take_is_no_error_of_the_run(monkeypatch, capsys, where, unbuffered):
    given = None
    if where != ">&-":
        if "full" in where and not Path("/dev/full").exists():
            pytest.skip("there is no /dev/full")
        number = pipe_without_reader() if "head" in where else os.open("/dev/full", os.O_WRONLY)
        raw = io.FileIO(number, "w")
        given = io.TextIOWrapper(raw if unbuffered else io.BufferedWriter(raw), write_through=unbuffered)
    monkeypatch.setattr(sys, "stdout", given)
    monkeypatch.setattr(sys, "__stdout__", given)
    settle_console()
    settle_console()  # each launch does so
    for _ in range(2):
        print("a line", flush=True)
    sys.stdout.isatty()
    told = "What is printed is not complete: No space left on device\n" if "full" in where else ""
    assert capsys.readouterr().err == told


def swallowed(*_: object) -> None:
    with suppress(BaseException):
        signal.raise_signal(signal.SIGTERM)


def replaced(*_: object) -> None:
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        raise ValueError  # as OmegaConf does, whose list is half made


def end_with(lose: Callable[[], None], folder: Path) -> None:
    """A run that has been sent a signal, and ends by an error behind it."""
    with RunRecord(folder):
        lose()
        raise ValueError


@pytest.mark.parametrize("lose", [swallowed, replaced])
def test_a_signal_ends_a_run_whatever_becomes_of_its_exception(train: Train, monkeypatch, tmp_path, lose):
    with monkeypatch.context() as patch:
        patch.setattr("dae.launch.refuse_flags", lose)
        done = train(*SMOKE)
    assert (done.exit_code, done.text) == (143, "interrupted: saving; again to stop now\n")
    with interruptible(), pytest.raises(Terminated):
        end_with(lose, tmp_path)
    assert read_result(tmp_path)["status"] == "interrupted"
    with pytest.raises(ValueError, match="another"), RunRecord(tmp_path):
        raise ValueError("another")  # after all this is no signal's any more


def test_a_sweep_whose_leaderboard_cannot_be_written_is_told_and_not_green(tmp_path, monkeypatch, capsys):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    add_job(tmp_path, "seed=0", value=0.9)
    monkeypatch.setattr("dae.sweeps.leaderboard.write_text_atomically", full)
    assert close_sweep(tmp_path, [], ended=True) == 1
    assert "0.9000" in capsys.readouterr().out


def test_a_second_search_in_a_folder_is_refused(train: Train, tmp_path):
    pytest.importorskip("optuna")
    (tmp_path / "sweep" / ".search").mkdir(parents=True)
    with FileLock(tmp_path / "sweep" / ".search" / ".lock"):
        done = train(
            "-m", *SMOKE, "hydra/sweeper=optuna", "dae.noise.p=interval(0.1,0.4)", "hydra.sweep.dir=sweep"
        )
    assert done.exit_code == 2
    assert "sweep: a search is going on here: another process\n" in done.err
    assert [path.name for path in tmp_path.glob("sweep/*")] == [".search"]


def test_a_study_that_cannot_be_written_is_told(tmp_path):
    error = type("StorageInternalError", (Exception,), {"__module__": "optuna.exceptions"})()
    error.__cause__ = sqlite3.OperationalError("database or disk is full")
    assert (
        str(disk_error(error, tmp_path)) == f"{tmp_path}: the study of the search: database or disk is full"
    )


def test_a_folder_that_is_moved_while_it_is_in_use_is_missed_and_not_made_anew(
    train: Train, tmp_path, monkeypatch
):
    def moved(*_: object) -> None:
        if (tmp_path / "run").is_dir():
            (tmp_path / "run").rename(tmp_path / "elsewhere")

    monkeypatch.setattr("dae.models.autoencoder.DenoisingAutoencoder.on_train_start", moved, raising=False)
    done = train(*SMOKE, "stage=dae", "hydra.run.dir=run")
    assert done.exit_code == 1
    assert "Traceback" not in done.text
    assert "\n      needed: what was there when it began" in done.out
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]


def test_who_stands_in_a_folder_that_is_gone_is_told(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for command in (lambda: launch([*SMOKE]), lambda: cli.main(["report", "there"])):
        assert command() == 1
        assert (
            capsys.readouterr().err
            == "The folder that you stand in has been deleted: cd to one that is there\n"
        )


def test_a_printed_command_holds_for_a_path_with_a_space(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = dict(next_commands(RunFolder(tmp_path / "my runs" / "first")))
    assert shown["Curves, pictures and HPARAMS"] == "tensorboard --logdir 'my runs'"
