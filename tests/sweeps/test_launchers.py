"""The same jobs under each launcher: equal results, one leaderboard, one shared stage 1."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dae.launch import launch
from dae.runs.checkpoint import content_hash, read
from helpers import SMOKE
from outcome import REPOSITORY, Outcome, Train

# One stage 1, three jobs, one thread a job wherever it runs. There are no 5,000 labels.
SWEEP = ("-m", "hydra.sweep.dir=multirun/sweep", *SMOKE)
JOBS = (*SWEEP, "seed=0", "data.labels=100,200,5000")
LAUNCHERS = {
    "joblib": ("hydra.launcher.n_jobs=2",),
    "submitit_local": (),
    "ray": ("hydra.launcher.ray.init.num_cpus=2",),
}


def launch_in(place: Path, *command: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        return launch(list(command))


def hashes(sweep: Path) -> dict[str, str]:
    files = sweep.glob("*/classifier/best.ckpt")
    return {file.parts[-3]: content_hash(read(file).tensors) for file in files}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of one job, to be extended."""
    place = tmp_path_factory.mktemp("begun")
    assert launch_in(place, *SWEEP, "seed=0", "data.labels=100") == 0
    return place / "multirun"


@pytest.fixture(scope="module")
def serial(begun: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    place = tmp_path_factory.mktemp("serial")
    shutil.copytree(begun, place / "multirun")
    assert launch_in(place, *JOBS) == 1
    return hashes(place / "multirun/sweep")


# Their processes take half a minute to start; README's joblib runs its jobs in the test's own.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("joblib", marks=pytest.mark.long),
        pytest.param("submitit_local", marks=pytest.mark.long),
        pytest.param("ray", marks=pytest.mark.ray),
    ],
)
def test_results_equal_the_serial_ones_and_a_failure_is_named(
    name: str, begun: Path, serial: dict[str, str], tmp_path: Path
):
    shutil.copytree(begun, tmp_path / "multirun")
    (first,) = tmp_path.glob("multirun/sweep/*labels-100_*")
    before = (first / "result.json").read_text()
    command = [sys.executable, str(REPOSITORY / "train.py"), *JOBS, f"hydra/launcher={name}"]
    done = subprocess.run([*command, *LAUNCHERS[name]], cwd=tmp_path, capture_output=True, text=True)
    (sweep,) = tmp_path.glob("multirun/*")
    assert len(serial) == 2
    assert hashes(sweep) == serial
    assert (first / "result.json").read_text() == before, "found by its hash, and not run again"
    words = {folder.name.rpartition("-")[0] for folder in sweep.glob("*/") if folder != first}
    assert words - {""} == {"labels-200", "labels-5000"}, "stage1 has no words"
    assert len(list((sweep / "stage1").iterdir())) == 1
    assert (sweep / "leaderboard.md").is_file()
    assert done.returncode == 1, done.stdout + done.stderr
    if name == "joblib":  # a line a job, from the process that has run it
        assert f"{first.name}: was completed before: classifier/val/accuracy" in done.stdout
        assert done.stdout.count(" of 3: ") == 3
    assert "epoch 1/1" not in done.stdout + done.stderr
    assert "ConfigStore" not in done.stderr
    assert "3 jobs: 2 completed, 1 failed" in done.stdout
    assert "1 of 3 jobs failed" in done.stderr
    assert "data.labels: found 5000, but 1293 training images are left after validation" in done.stderr


def test_a_launcher_that_is_not_installed(train: Train, monkeypatch: pytest.MonkeyPatch):
    def without(plugins: object, name: str) -> object:
        raise RuntimeError(f"Unknown plugin class : '{name}'")

    monkeypatch.setattr("hydra.core.plugins.Plugins._instantiate", without)
    done: Outcome = train("-m", "seed=0,1", "hydra/launcher=ray", *SMOKE)
    assert done.exit_code == 2
    assert "hydra/launcher: its package is not installed" in done.text
    assert "pip install -e '.[cluster]'" in done.text
    assert not list(done.place.glob("multirun"))
