"""Runs that share a folder, a disk that cannot be written to, signals: nothing is lost, nothing is silent."""

from __future__ import annotations

import errno
import gc
import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from dae.errors import ConfigError, UserError
from dae.report.run_folder import RunFolder
from dae.report.sweep_end import close_sweep
from dae.runs.disk import DiskError, disk_error, first_error
from dae.runs.interruption import Terminated, held_back, interruptible
from dae.runs.owner import claim, owner_of, release, remove_half_written, was_left
from dae.runs.record import RESERVE, ROOM, RunRecord
from dae.runs.resume import reopen_run
from dae.runs.saved_config import write_saved_config
from dae.sweeps.jobs import read_job
from helpers import ONE_PASS, SMOKE, begin_job, composed, launch_beside
from outcome import Train

HOLD = (
    "import sys, time; from pathlib import Path; from dae.runs.owner import claim; claim(Path(sys.argv[1])); "
)


@contextmanager
def owned_elsewhere(folder: Path) -> Iterator[int]:
    """Another process owns the folder; its number."""
    script = f"{HOLD} print('held', flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def state(folder: Path) -> dict[str, bytes]:
    """Each file's content."""
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def begun(folder: Path) -> Path:
    """What an interrupted run has left, as far as ``resume`` looks at it."""
    folder.mkdir(parents=True)
    write_saved_config(folder, composed("data=digits"))
    (folder / "result.json").write_text('{"status": "interrupted"}')
    return folder


def end_with(error: BaseException, folder: Path) -> None:
    """A run that ends so."""
    with RunRecord(folder):
        assert (folder / RESERVE).stat().st_size == ROOM
        raise error


# Who owns a run folder


def test_a_folder_in_use_is_refused_by_name_and_unchanged_until_its_process_is_gone(train: Train, tmp_path):
    folder = begun(tmp_path / "outputs" / "run")
    with owned_elsewhere(folder) as number:
        before = state(folder)
        for arguments in ([f"resume={folder}"], [*SMOKE, f"hydra.run.dir={folder}"]):
            done = train(*arguments)
            assert done.exit_code == 2
            assert (
                f"outputs/run: a run is going on here: process {number} on {socket.gethostname()}" in done.err
            )
            assert "Traceback" not in done.text
        assert state(folder) == before
        with pytest.raises(ConfigError, match=f"going on already:\n *outputs/run: process {number} on"):
            reopen_run(["resume=auto"])
        older = begun(tmp_path / "outputs" / "older")
        os.utime(older / "config.yaml", (1, 1))
        assert f'hydra.run.dir="{older.relative_to(tmp_path)}"' in reopen_run(["resume=auto"])[1]
    (folder / "dae").mkdir()
    for name in (".config.yaml.0123abcd", "dae/.best.ckpt.89abcdef"):
        (folder / name).touch()
    claim(folder)  # the other process was killed: its lock is free, and what it left half written goes
    try:
        assert not [file for file in folder.rglob(".*.????????") if file.parent.name != "sweep"]
        assert (owner := owner_of(folder)) is not None
        assert owner.process == os.getpid()
    finally:
        release(folder)
    assert owner_of(folder) is None


def test_what_a_process_owned_and_left_without_a_result_does_not_count_as_running(tmp_path):
    folder = begin_job(tmp_path, "seed=0")
    assert not was_left(folder)
    with owned_elsewhere(folder):
        assert (job := read_job(folder)) is not None
        assert job.status == RunFolder(folder).status == "running"
    assert (job := read_job(folder)) is not None
    assert job.status == RunFolder(folder).status == "interrupted"
    assert job.error == "its process has ended without a result"


@pytest.mark.usefixtures("untrained")
def test_a_job_that_another_launch_runs_is_passed_over(train: Train):
    sweep = ("-m", *SMOKE, "stage=dae", "seed=0,1", "hydra.sweep.dir=sweep")
    done = train(*sweep)
    first = next(folder for folder in done.place.glob("sweep/seed-0-*"))
    (first / "result.json").unlink()
    with owned_elsewhere(first) as number:
        before = {name: text for name, text in state(first).items() if not name.startswith(".hydra")}
        done = train(*sweep)
        assert done.exit_code == 0, done.text
        assert f"running elsewhere: process {number} on" in done.out
        assert f"1 job running elsewhere:\n  {first.name}: process {number}" in done.out
        assert before == {name: text for name, text in state(first).items() if not name.startswith(".hydra")}
        assert close_sweep(done.place / "sweep", [], ended=True) == 0
    assert close_sweep(done.place / "sweep", [], ended=True) == 1, "now nobody runs it"


def test_a_refused_config_leaves_no_claim(train: Train):
    done = train("data=digits", "classifier.epochs=ten")
    assert done.exit_code == 2
    assert sorted(path.name for path in done.folder.iterdir()) == [".hydra", "result.json", "train.log"]


def test_a_file_system_without_locks_is_told_and_used(tmp_path, monkeypatch, caplog):
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patch:
        patch.setattr("dae.runs.owner.FileLock.acquire", refused)
        claim(tmp_path)
    assert "This file system has no locks" in caplog.text
    assert not was_left(tmp_path)
    release(tmp_path)


# A disk that cannot be written to


FAILURES = [
    (errno.ENOSPC, "No space left on device\n      needed: room on its disk, where "),
    (
        errno.EROFS,
        "Read-only file system\n      needed: a disk that is not read-only, or another folder: hydra.run",
    ),
    (errno.EACCES, "Permission denied\n      needed: the permission to read and write there"),
    (errno.EIO, "Input/output error"),
]


@pytest.mark.parametrize(("number", "words"), FAILURES)
def test_a_run_that_cannot_write_has_a_result_that_says_why(tmp_path, number, words):
    error = OSError(number, os.strerror(number), str(tmp_path / "dae" / "last.ckpt"))
    with pytest.raises(DiskError) as told:
        end_with(error, tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["status"], result["error"]) == ("failed", str(told.value))
    assert f"dae/last.ckpt: {words}" in result["error"]
    assert not (tmp_path / RESERVE).exists()


def test_the_first_error_is_told_whatever_saving_meets(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    second = OSError(errno.ENOSPC, "a logger that is closed")
    second.__context__ = UserError("diverged")
    with pytest.raises(UserError, match="diverged"):
        end_with(second, tmp_path)
    assert json.loads((tmp_path / "result.json").read_text())["error"] == "diverged"
    monkeypatch.setattr("dae.runs.record.write_result", full)
    with pytest.raises(ZeroDivisionError):
        end_with(ZeroDivisionError(), tmp_path)
    with pytest.raises(DiskError, match="No space left"), RunRecord(tmp_path):
        pass  # completed, but that cannot be written down: not green
    with pytest.raises(Terminated):
        end_with(Terminated(143), tmp_path)


def test_what_torch_could_not_write_counts_by_the_error_behind_it():
    error = RuntimeError("PytorchStreamWriter failed writing file data.pkl")
    error.__context__ = OSError(errno.EFBIG, "File too large")
    words = "outputs: File too large\n      needed: leave to write larger files (ulimit -f)"
    assert str(disk_error(error, Path("outputs"))) == words
    assert disk_error(RuntimeError("CUDA"), Path()) is None
    lookup = OSError(1, "not permitted")
    lookup.__context__ = KeyError("not cached yet")
    assert first_error(lookup) is lookup


@pytest.mark.parametrize("sweep", [False, True])
def test_a_folder_that_cannot_be_made_is_named(train: Train, tmp_path, sweep):
    (tmp_path / "file").touch()
    kind = "sweep" if sweep else "run"
    for place, words in (("file/run", "a folder where there is a file"), ("x" * 300, "a shorter name")):
        done = train(*SMOKE, f"hydra.{kind}.dir={place}", *(["-m", "seed=0,1"] if sweep else []))
        assert done.exit_code == 1, done.text
        assert "Traceback" not in done.text
        assert words in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A limit of the operating system stands for the disk that is full."""
    resource = pytest.importorskip("resource")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)


WRITERS = {
    "none": "",
    "csv": "lightning_fabric.loggers.csv_logs._ExperimentWriter.save",
    "tensorboard": "tensorboard.summary.writer.record_writer.RecordWriter.write",
}


@pytest.mark.parametrize("logger", ["none", pytest.param("csv", marks=pytest.mark.faults), "tensorboard"])
def test_a_disk_that_is_full_while_it_trains_ends_the_run_in_words(train: Train, logger, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, largest_file(1 << 16 if logger == "none" else 1 << 30):
        if WRITERS[logger]:
            patch.setattr(WRITERS[logger], full)
        done = train(*SMOKE, f"logger={logger}", "stage=dae")
    assert done.exit_code == 1
    assert "Traceback" not in done.text
    assert done.result["status"] == "failed"
    assert "\n      needed: room on its disk, where" in done.result["error"]
    assert "; go on: python train.py resume=outputs/" in done.out
    if logger == "none":
        assert not list((done.folder / "dae").glob(".*")), "no half of a checkpoint"
        assert train(f"resume={done.folder}").exit_code == 0
        assert done.result["status"] == "completed"


# Signals


def interrupted_while_writing(done: list[str]) -> None:
    with held_back():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # a wrapper that passes on what the terminal has sent already
        done.append("written")
    done.append("not this")


def test_the_first_signal_is_an_exception_and_waits_for_the_end_of_what_is_written(capfd):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    done: list[str] = []
    with pytest.raises(Terminated) as stop, interruptible("saving"):
        interrupted_while_writing(done)
    assert (stop.value.code, done) == (130, ["written"])
    assert str(stop.value) == "interrupted by Ctrl-C (KeyboardInterrupt)"
    assert capfd.readouterr().err == "saving\n"
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_who_has_signals_ignored_or_handles_them_keeps_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # nohup, or & in a script
    try:
        with interruptible():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("place", ["training", "result", "page"])
def test_a_result_says_what_has_interrupted_its_run(train: Train, monkeypatch, place):
    def interrupt(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    if place == "training":
        monkeypatch.setattr("dae.models.autoencoder.DenoisingAutoencoder.training_step", interrupt)
    elif place == "result":
        monkeypatch.setattr("dae.run.closing_summary", interrupt)
    else:
        monkeypatch.setattr("dae.launch.write_or_warn", interrupt)
    done = train(*SMOKE, "stage=dae")
    assert done.exit_code == 130
    assert "interrupted: saving; again to stop now" in done.err
    assert "Traceback" not in done.text
    if place == "page":
        assert done.result["status"] == "completed"
        return
    assert done.result["status"] == "interrupted"
    assert done.result["error"] == "interrupted by Ctrl-C (KeyboardInterrupt)"
    assert f"go on: python train.py resume=outputs/{done.folder.name}" in done.out


def test_before_anything_is_saved_the_way_on_is_the_command_itself(train: Train, monkeypatch):
    monkeypatch.setattr("dae.run.open_data", lambda *_: signal.raise_signal(signal.SIGTERM))
    done = train(*SMOKE)
    assert done.exit_code == 143
    assert done.out.endswith(
        "Interrupted; go on: python train.py data=digits debug=smoke logger=none callbacks=none\n"
    )


def test_an_interrupted_sweep_says_how_it_goes_on(train: Train, monkeypatch):
    def interrupt(*_: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("dae.models.autoencoder.DenoisingAutoencoder.training_step", interrupt)
    done = train("-m", *SMOKE, "stage=dae", "seed=0,1", "hydra.sweep.dir=sweep")
    assert done.exit_code == 143
    assert len(list(done.place.glob("sweep/*/result.json"))) == 1
    assert "go on: python train.py -m hydra.sweep.dir=sweep data=digits" in done.out


def test_what_is_half_written_goes_once_it_is_old(tmp_path):
    young, old, other = (tmp_path / name for name in (".a.csv.01234567", ".b.csv.89abcdef", ".result.sha256"))
    for file in (young, old, other):
        file.touch()
    for file in (old, other):
        os.utime(file, (0, 0))
    remove_half_written(tmp_path, age=60)
    assert sorted(tmp_path.iterdir()) == [young, other]


class Dying:
    """Met by a signal where Python ignores exceptions."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


def test_a_signal_whose_exception_is_ignored_comes_again(capsys):
    def live_on() -> None:
        Dying()
        time.sleep(5)

    with pytest.raises(Terminated, match="interrupted by SIGTERM"), interruptible("saving"):
        live_on()
    assert capsys.readouterr().err == "saving\n"


AGAIN = """
import signal, time
from dae.runs.interruption import interruptible
with interruptible("saving"):
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        time.sleep(0.6)
        signal.raise_signal(signal.SIGINT)
        print("this is never said")
"""


def listen() -> None:
    """Hear Ctrl-C, also where the tests were started in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def started(folder: Path, *words: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, *words], cwd=folder, stdout=pipe, stderr=pipe, text=True, preexec_fn=listen
    )


def test_ctrl_c_leaves_without_a_traceback_in_the_imports_and_the_second_time(tmp_path):
    quiet = "from dae.runs.interruption import leave_quietly as q; q(); print('on', flush=True)"
    early = started(tmp_path, "-c", f"{quiet}; import time; time.sleep(60)")  # as in its imports
    assert early.stdout is not None
    assert early.stdout.readline() == "on\n"
    early.send_signal(signal.SIGINT)
    assert (early.wait(), *early.communicate()) == (130, "", "")
    again = started(tmp_path, "-c", AGAIN)
    assert (again.wait(), *again.communicate()) == (130, "", "saving\n")


# The long form

KILLED = ("data=digits", "data.limit=100", "logger=csv", "callbacks=none", *ONE_PASS)
PLACES = {
    "run": ("hydra.run.dir=run", "dae.epochs=6", "classifier.epochs=6"),
    "sweep": ("-m", "hydra.sweep.dir=sweep", "dae.epochs=3", "classifier.epochs=2", "classifier.hidden=8,16"),
    "search": (
        "-m",
        "hydra/sweeper=optuna",
        "hydra.sweep.dir=search",
        "hydra.sweeper.sampler=grid",
        "hydra.sweeper.n_trials=3",
        "dae.noise.p=choice(0.1,0.2,0.3)",
        "dae.epochs=2",
        "classifier.epochs=2",
    ),
}
KILLS = {"run": 20, "sweep": 15, "search": 15}
EXIT_CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}


def outcome(place: Path) -> dict[str, object]:
    """How each run below a folder has ended."""
    results = {file.parent: json.loads(file.read_text()) for file in place.glob("**/result.json")}
    return {
        str(folder.relative_to(place)): (result["status"], result["metrics"], result["signs"])
        for folder, result in results.items()
    }


def go_on(folder: Path, kind: str) -> list[str]:
    begun = kind == "run" and (folder / "run" / "config.yaml").is_file()
    return ["resume=run"] if begun else [*PLACES[kind], *KILLED]


@pytest.mark.faults
@pytest.mark.parametrize("kind", PLACES)
def test_what_is_killed_at_any_moment_and_gone_on_with_comes_to_the_same(kind, tmp_path, tally):
    # Forked from a process that has imported everything, so that a start takes no time.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["helpers", "dae.run", "dae.launch", "dae.report.run_page", "optuna"])
    draw = random.Random(kind)

    def launched(folder: Path, *words: str) -> ForkServerProcess:
        process = processes.Process(target=launch_beside, args=(folder, folder / "said.txt", words))
        process.start()
        return process

    def ended(process: ForkServerProcess, *codes: int) -> None:
        process.join(120)
        assert process.exitcode in codes

    whole = tmp_path / "whole"
    whole.mkdir()
    ended(launched(whole, *go_on(whole, kind)), 0)
    began = time.monotonic()
    shutil.rmtree(whole / kind)
    ended(launched(whole, *go_on(whole, kind)), 0)  # the first one also started the server
    took, expected = time.monotonic() - began, outcome(whole)
    done, attempts = 0, itertools.count()
    while done < KILLS[kind]:
        folder = tmp_path / f"attempt-{next(attempts)}"
        folder.mkdir()
        kills = 0
        while True:
            process = launched(folder, *go_on(folder, kind))
            process.join(draw.uniform(0, took if done + kills < KILLS[kind] else 10 * took + 60))
            if process.exitcode is not None:
                ended(process, 0)
                break
            number = draw.choice(list(EXIT_CODES))
            os.kill(process.pid or 0, number)
            ended(process, EXIT_CODES[number], -number, 0)  # -number: behind the end, where nothing hears it
            kills += 1
        said = (folder / "said.txt").read_text()
        assert "Traceback" not in said
        assert not [*folder.rglob(RESERVE)]
        assert not [file for file in folder.rglob(".*.????????") if file.parent.name != "sweep"]
        equal = outcome(folder) == expected
        for _ in range(kills):
            tally(f"kills, {kind}", "resumed equal" if equal else "wrong without a word")
        assert equal, folder
        done += kills


@pytest.mark.faults
def test_launches_of_one_process_leave_nothing_behind(train: Train, tally):
    commands = [
        ("data=digits", "stage=data"),
        SMOKE,
        ("data=digits", "debug=smoke", "stage=dae", "callbacks=pictures", "logger=[tensorboard,csv]"),
        ("data=digits", "classifier.epochs=ten"),
        ("-m", *SMOKE, "stage=dae", "seed=0,1"),
    ]
    held = []
    for count in range(200):
        assert train(*commands[count % len(commands)]).exit_code == (2 if count % len(commands) == 3 else 0)
        gc.collect()
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        held.append((len(os.listdir("/proc/self/fd")), threading.active_count(), resident))  # noqa: PTH208
    for name, figures in zip(("open files", "threads"), list(zip(*held, strict=True))[:2], strict=True):
        assert max(figures[20:]) <= max(figures[:20]), f"{name}: {figures}"
    assert max(memory for *_, memory in held[20:]) < held[19][2] * 1.05 + 2e7, "memory"
    growth = (held[-1][2] - held[19][2]) / 1e6
    tally("launches in one process", f"flat (memory {growth:+.0f} MB after the first 20)")
