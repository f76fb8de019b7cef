"""Paths hold wherever a job is moved to, ``~`` is the home, and files are UTF-8 whatever the locale."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from dae.config.paths import PATH_KEYS, anchor_paths, expand_typed_home
from dae.pictures import throughput
from dae.runs.console import settle_console
from dae.training import threads
from helpers import QUIET, composed, draw_images

IMAGES = ("stage=data", "data=image_folder", *QUIET)


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "home of mine"
    folder.mkdir()
    monkeypatch.setattr(Path, "home", classmethod(lambda cls: folder))
    return folder


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("data.root=~/x", "data.root=HOME/x"),
        ("+data.root=~", "+data.root=HOME"),
        ("dae.warm_start='~/a b'", "dae.warm_start='HOME/a b'"),
        ("data.root=~/x,~/y", "data.root=HOME/x,HOME/y"),
        ("resume=~/runs/1", "resume=HOME/runs/1"),
        ("--config-dir=~/conf", "--config-dir=HOME/conf"),
        ("data.root=a~/x", "data.root=a~/x"),
        ("data.root=~other/x", "data.root=~other/x"),
        ("~data.root", "~data.root"),
        ("name=~/x", "name=~/x"),
    ],
)
def test_the_home_in_what_is_typed(home, typed, meant):
    assert expand_typed_home(typed) == meant.replace("HOME", home.as_posix())


@pytest.mark.parametrize("key", PATH_KEYS)
def test_the_home_in_a_config(home, key):
    cfg = composed("data=image_folder")
    OmegaConf.update(cfg, key, "~/x")
    assert OmegaConf.select(anchor_paths(cfg), key) == f"{home.as_posix()}/x"
    OmegaConf.update(cfg, key, "y")
    assert OmegaConf.select(anchor_paths(cfg), key) == "y"


def draw_classes(root: Path) -> None:
    for name in ("a", "b"):
        draw_images(root / name, 12)


def test_relative_paths_hold_in_a_job_that_hydra_has_moved(train):
    draw_classes(train("--help").place / "mine")
    done = train(*IMAGES, "data.root=mine", "hydra.job.chdir=true", "hydra.run.dir=there")
    assert done.exit_code == 0
    assert "Run folder: there" in done.out
    assert Path.cwd() == done.place
    assert OmegaConf.load(done.place / "there" / "config.yaml").data.root == str(done.place / "mine")


def test_the_home_of_the_data_and_of_the_runs(train, home):
    draw_classes(home / "mine")
    assert train(*IMAGES, "data.root=~/mine", "hydra.run.dir=~/runs/1").exit_code == 0
    assert (home / "runs" / "1" / "result.json").is_file()
    assert not (train("--help").place / "~").exists()


def test_the_home_in_a_config_of_ones_own(train, home):
    place = train("--help").place
    (place / "own" / "experiment").mkdir(parents=True)
    own = "# @package _global_\nhydra: {run: {dir: ~/runs}, sweep: {dir: ~/sweep}}\n"
    (place / "own" / "experiment" / "mine.yaml").write_text(own, encoding="utf-8")
    words = ("--config-dir=own", "experiment=mine", "stage=data", "data=digits", *QUIET)
    assert train(*words).exit_code == 0
    assert (home / "runs" / "result.json").is_file()
    assert train("-m", *words, "seed=1").exit_code == 0
    assert len(list((home / "sweep").glob("*/result.json"))) == 1
    assert not (place / "~").exists()


def test_a_broken_config_of_ones_own_is_told_in_words(train):
    place = train("--help").place
    (place / "own").mkdir()
    (place / "own" / "mine.yaml").write_text("defaults: [nowhere]\n", encoding="utf-8")
    done = train("--config-dir=own", "--config-name=mine")
    assert (done.exit_code, "Traceback" in done.text) == (2, False)
    assert "nowhere" in done.err


def test_a_console_shows_what_it_can(monkeypatch):
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="iso8859-1"))
    settle_console()
    print("größe 字", flush=True)
    assert shown.getvalue().decode("iso8859-1").split() == ["größe", "?"]


@pytest.mark.faults
def test_a_run_in_another_locale(tmp_path):
    """One that lacks the signs of a class's name; Python warns of each file that is opened in it."""
    for name in ("größe", "字"):
        draw_images(tmp_path / "mine" / name, 12)
    code = (
        "import _locale, io, sys; _locale.getencoding = lambda: 'iso8859-1'\n"
        "sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='iso8859-1')\n"
        "from dae.launch import launch\n"
        "exit(launch(sys.argv[1:]))"
    )
    words = [*IMAGES, "data.root=mine", "name='größe'", "hydra.run.dir=there"]
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONWARNDEFAULTENCODING": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    run_json = (tmp_path / "there" / "run.json").read_text(encoding="utf-8")
    assert "größe" in run_json or "gr\\u00f6\\u00dfe" in run_json
    ours = [
        line
        for line in done.stderr.decode(errors="replace").splitlines()
        if "EncodingWarning" in line and "/dae/" in line
    ]
    assert not ours


def test_a_system_without_resource_and_without_a_load_average(monkeypatch):
    """Windows."""
    monkeypatch.setattr(throughput, "resource", None)
    import torch

    assert throughput.peak_memory(torch.device("cpu")) is None
    monkeypatch.delattr(os, "getloadavg")
    for name in threads.WAITING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "torch")
    threads.settle_waiting()
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
