from __future__ import annotations

import logging
import os
import re
import subprocess
import sys

import pytest
from hydra.types import RunMode

from dae.runs.console import ConsoleHandler
from dae.training.progress import StageBar, progress_callbacks
from helpers import SMOKE
from outcome import REPOSITORY, Train


def test_a_line_an_epoch_with_all_that_is_known(train: Train):
    done = train(*SMOKE, "dae.epochs=3", "classifier.epochs=1")
    lines = [line for line in done.out.splitlines() if re.match(r"(dae|classifier) epoch ", line)]
    assert len(lines) == 4
    for number, line in enumerate(lines[:3], 1):
        assert line.startswith(f"dae epoch {number}/3")
        assert re.search(r"train: loss \d\.\d{4}  val: loss \d\.\d{4} .*psnr", line)
    assert re.search(r"train: accuracy [\d.]+ balanced_accuracy [\d.]+ loss [\d.]+  val: accuracy", lines[3])
    assert lines[0].split("val:")[0] != lines[1].split("val:")[0]


def test_old_validation_metrics_are_not_shown_again(train: Train):
    done = train(*SMOKE, "stage=dae", "dae.epochs=4", "trainer.check_val_every_n_epoch=2")
    shown = ["val:" in line for line in done.out.splitlines() if line.startswith("dae epoch ")]
    assert shown == [False, True, False, True]


def test_no_bar_in_a_sweep(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for mode, shown in ((RunMode.RUN, True), (RunMode.MULTIRUN, False)):
        monkeypatch.setattr(logging.getLogger(), "handlers", [ConsoleHandler(mode)])
        assert any(isinstance(callback, StageBar) for callback in progress_callbacks()) == shown


def test_a_terminal_shows_nothing_but_our_own_lines_and_a_bar_below_them(tmp_path):
    """No tips, and no warnings that a user can do nothing about."""
    ours, theirs = os.openpty()
    words = (
        "data=digits",
        "debug=smoke",
        "logger=[tensorboard,csv]",
        "dae/scheduler=one_cycle",
        "dae.epochs=2",
    )
    command = [sys.executable, str(REPOSITORY / "train.py"), *words]
    wide = {**os.environ, "COLUMNS": "160", "TERM": "xterm"}
    with (
        (tmp_path / "errors").open("w") as errors,
        subprocess.Popen(
            command, cwd=tmp_path, env=wide, stdout=theirs, stderr=errors, stdin=theirs
        ) as process,
    ):
        os.close(theirs)
        shown = b""
        # Linux ends a terminal that nobody holds any more with an error, others with nothing.
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:
            process.wait(60)
    assert process.returncode == 0, shown.decode()
    assert not (tmp_path / "errors").read_text()
    text = shown.decode()
    assert not [line for line in text.splitlines() if "arning" in line or "tip" in line.lower()]
    assert "━" in text
    assert "dae epoch 2/2" in text
    assert re.search(
        r"dae 2/2 .*dae/val/noisy_loss: 0\.\d{4} best: 0\.\d{4}", re.sub(r"\x1b\[[\d;?]*\w", "", text)
    )
    assert "Result of the checkpoint that counts" in text
