from __future__ import annotations

import subprocess
import sys

import pytest

import dae
from dae.cli import main
from dae.launch import launch
from helpers import Page, add_job, write_multirun


def test_report_of_a_run_and_of_a_sweep(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sweep = tmp_path / "sweep"
    folders = [add_job(sweep, f"seed={seed}", value=0.5) for seed in (0, 1)]
    assert main(["report", str(folders[0])]) == 0
    assert capsys.readouterr().out == f"sweep/{folders[0].name}/report.html\n"
    assert not (folders[1] / "report.html").exists()
    assert main(["report", "sweep"]) == 0
    assert capsys.readouterr().out == "sweep/report.html\n"
    Page(sweep).assert_well_formed(leads_to={f"{folder.name}/report.html" for folder in folders})


def test_leaderboard(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    add_job(tmp_path / "sweep", "dae.noise.p=0.1", value=0.8)
    add_job(tmp_path / "sweep", "dae.noise.p=0.3", value=0.9)
    write_multirun(tmp_path / "sweep", ["dae.noise.p=0.1,0.3"])
    assert main(["leaderboard", "sweep"]) == 0
    told = capsys.readouterr().out
    assert ["1", "0.3"] in [line.split()[:2] for line in told.splitlines()]
    assert "hydra.sweep.dir=sweep dae.noise.p=0.1,0.3" in told
    assert {file.name for file in (tmp_path / "sweep").glob("*.*")} >= {"leaderboard.md", "jobs.csv"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["report", "nowhere"], "nowhere: is not a folder, expected a sweep's folder"),
        (["report", "empty"], "empty: holds no run and no jobs"),
        (["report", "outputs/run/dae"], "a run: dae report outputs/run"),
        (["leaderboard", "outputs/run"], "holds no run and no jobs, expected a sweep's folder"),
    ],
)
def test_what_is_refused(tmp_path, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (add_job(tmp_path / "outputs", "seed=0").rename(tmp_path / "outputs" / "run") / "dae").mkdir()
    assert main(arguments) == 2
    assert words in capsys.readouterr().err


def test_to_train_by_dae_is_to_train(tmp_path, capsys, monkeypatch):
    """And the commands that it prints are those that can be typed."""
    monkeypatch.chdir(tmp_path)
    assert main(["train", "data=digits", "dae.epoch=3", "-m", "seed=0,1"]) == 2
    assert "dae.epoch: there is no key" in capsys.readouterr().err
    assert main(["train", "stage=classifier", "data=digits"]) == 2
    assert "train one first: dae train stage=dae;" in capsys.readouterr().out
    assert main(["train", "--help"]) == 0
    told = capsys.readouterr().out
    assert "\n  dae train data=digits     " in told
    assert "train.py" not in told
    assert launch(["stage=classifier", "data=digits"]) == 2
    assert "train one first: python train.py stage=dae;" in capsys.readouterr().out


def test_the_commands_and_the_version_are_told(capsys):
    for flag, words in (("--help", "leaderboard"), ("--version", f"lightning-dae {dae.__version__}\n")):
        with pytest.raises(SystemExit, match="0"):
            main([flag])
        assert words in capsys.readouterr().out


def test_python_m_dae_is_quick_since_it_needs_no_torch(tmp_path):
    folder = add_job(tmp_path, "seed=0", value=0.5)
    code = (
        "import sys, runpy; sys.argv = ['dae', 'report', sys.argv[1]]\n"
        "try: runpy.run_module('dae', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, timeout=60)
    Page(folder).assert_well_formed()
