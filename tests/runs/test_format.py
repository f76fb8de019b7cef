"""Runs and sweeps that a version with another format of folders has begun."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dae.runs.format import FORMAT
from helpers import SMOKE, add_job
from outcome import Train


def old_run(sweep: Path) -> Path:
    folder = add_job(sweep, "seed=0", value=0.5)
    (folder / "config.yaml").write_text("seed: 0\n")
    (folder / "run.json").write_text(json.dumps({"git": {"commit": "0123456789abcdef", "diff": None}}))
    return folder


def content(folder: Path) -> dict[Path, str]:
    return {file: file.read_text() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    "command", [("resume=old/{job}",), ("-m", "hydra.sweep.dir=old", "seed=0,1", *SMOKE)]
)
def test_another_format_is_refused_in_one_sentence(train: Train, tmp_path: Path, command: tuple[str, ...]):
    folder = old_run(tmp_path / "old")
    before = content(tmp_path)
    done = train(*(word.format(job=folder.name) for word in command))
    assert done.exit_code == 2
    assert done.err.splitlines()[1:] == [
        f"  - old/{folder.name}: begun in format 1 of run folders, and this version continues format "
        f"{FORMAT} alone",
        "      continue with the version that began it (git checkout 0123456789ab), or begin a new one in "
        "another folder",
    ]
    assert "Leaderboard" not in done.text
    assert content(tmp_path) == before


def test_a_run_that_is_sent_into_an_old_folder_is_refused(train: Train, tmp_path: Path):
    folder = old_run(tmp_path / "old")
    result = (folder / "result.json").read_text()
    done = train(*SMOKE, f"hydra.run.dir=old/{folder.name}")
    assert done.exit_code == 2
    assert "begun in format 1" in done.out
    assert (folder / "result.json").read_text() == result
