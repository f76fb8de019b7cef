"""What is refused before a sweep begins, the lines of its jobs, and how it ends."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from dae.cli import main
from dae.launch import Job, _close
from dae.sweeps.hook import SweepFolder, asked_comparison, comparison_problems
from dae.sweeps.order import read_order, swept_values
from helpers import SMOKE, add_job, write_multirun
from outcome import Train

ARMS = "pretraining=none,denoising"


def config(*task: str, params: Any = None, compare: str | None = None, **sweeper: Any) -> Any:
    hydra = {"sweeper": {"params": params, **sweeper}, "overrides": {"task": list(task)}}
    return OmegaConf.create({"hydra": hydra, "compare": compare})


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        (config("compare=pretraining", ARMS), "pretraining"),
        (config(ARMS, compare="pretraining"), "pretraining"),
        (config(params={"compare": "dae/noise", "dae/noise": "mask,dropout"}), "dae/noise"),
        (config("compare=null", ARMS, compare="pretraining"), None),
        (config(ARMS), None),
    ],
)
def test_a_comparison_may_be_typed_or_stand_in_an_experiment(asked, key):
    assert asked_comparison(asked) == key
    assert not list(comparison_problems(asked))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (config(compare="pretraining"), "expected a key with several values"),
        (config("compare=seed", ARMS, "seed=0,1"), "expected one of the swept keys pretraining\n"),
        (config("compare=pretrain", ARMS), "try compare=pretraining"),
        (config("compare=classifier", ARMS, "+a=1,2"), "expected one of the swept keys pretraining, a\n"),
        (config("compare=pretraining", ARMS, sampler="tpe"), "a search draws its values"),
    ],
)
def test_what_cannot_be_compared(asked, words):
    (problem,) = comparison_problems(asked)
    assert words in str(problem)


def test_the_values_keep_the_order_of_the_command():
    task = [
        "+pretraining=plain,none",
        "seed=range(2,0,-1)",
        "dae/noise=glob(*)",
        "data=digits",
        "dae.noise.p=1e-1,.5",
    ]
    found = swept_values(config(*task).hydra)
    assert found == {"pretraining": ["plain", "none"], "seed": ["2", "1"], "dae.noise.p": ["0.1", "0.5"]}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["compare=pretraining"],
            "expected a key with several values",
        ),
        (["-m", "compare=dae.noise.p", "seed=0,1"], "dae.noise.p has not several values in this sweep"),
        (["-m", "seed=0,1", "hydra.sweep.subdir=x"], "the jobs of a sweep are named after what they are"),
        (["-m", "name=a,b"], "a name makes no job another job"),
        # What every job would say of the data is said once.
        (["-m", "seed=0,1", "data=image_folder", "data.root=nowhere"], "nowhere"),
        (
            ["-m", "seed=0,1", "data=image_folder", "data.root=root"],
            "found one class, only; expected two or more",
        ),
        (["-m", "seed=0,1", "data.validation=5000"], "5000 images held out of"),
    ],
)
def test_a_refused_command_leaves_nothing_behind(train, tmp_path, arguments, words):
    (tmp_path / "root" / "only").mkdir(parents=True)
    from PIL import Image

    for number in range(20):
        Image.new("L", (8, 8), 10 * number).save(tmp_path / "root" / "only" / f"{number}.png")
    done = train(*SMOKE, *arguments)
    assert done.exit_code in (1, 2)
    assert words in done.err
    assert done.err.count("wrong with this command") <= 1
    assert [place.name for place in done.place.iterdir()] == ["root"]


def rows(file: Path) -> list[dict[str, str]]:
    with file.open() as lines:
        return list(csv.DictReader(lines))


def test_label_counts_that_come_to_the_same_images_are_run_once(train: Train):
    done = train("-m", *SMOKE, "data.labels=500/class,20,900/class,null", "compare=data.labels", "stage=data")
    assert "data.labels: 500/class, 900/class, null come to the same images; run once" in done.out
    assert {folder.name.rpartition("-")[0] for folder in done.folders} == {"labels-20", "labels-null"}
    assert "2 jobs in " in done.out


def test_a_real_sweep_with_a_job_that_fails(train: Train):
    sweep = ["dae.noise.p=0.1,0.4,7", "seed=0,1", "dae.encoder.widths=[16,8,8]", *SMOKE]
    done = train("-m", *sweep)
    assert done.exit_code == 1
    folder = done.folders[0].parent
    found = rows(folder / "leaderboard.csv")
    assert [[row[name] for row in found] for name in ("rank", "n", "failed")] == [
        ["1", "2", ""],
        ["2", "2", "0"],
        ["0", "0", "2"],
    ]
    assert all((folder / row["checkpoint"]).is_file() for row in found[:2])

    told, leaderboard = done.out.split("Leaderboard by ")
    first, *lines = told.splitlines()
    assert first == f"6 jobs in {folder.relative_to(done.place)}, logged in <job>/train.log"
    order = [f"p-{p}_seed-{seed}" for p in ("0.1", "0.4", "7") for seed in (0, 1)]
    for number, (line, words) in enumerate(zip(lines, order, strict=True), 1):
        outcome = (
            "failed after .*: found 7, expected .*" if words[2] == "7" else r"completed: classifier/val/acc.*"
        )
        assert re.fullmatch(rf"{number} of 6: {words}-[0-9a-f]{{10}}: {outcome}", line)
        assert ("; about " in line) == (number < 6)
    assert done.logs.count("dae epoch 1/1") == 4
    assert "2 of 6 jobs failed:\n" in done.err
    assert "dae.noise.p: found 7, expected less than 1" in done.err

    winner, go_on = (
        shlex.split(line.strip().split("python train.py ")[1])
        for line in leaderboard.splitlines()
        if line.startswith(("  the winner again ", "  continue or extend "))
    )
    assert go_on == ["-m", f"hydra.sweep.dir={folder.relative_to(done.place)}", *sweep]
    best = max(
        float(row["value"])
        for row in rows(folder / "jobs.csv")
        if row["dae.noise.p"] == found[0]["dae.noise.p"]
    )
    again = train(*winner, place="again")
    assert again.result["objective"]["value"] == best


STUDY = """# @package _global_
hydra: {mode: MULTIRUN, sweeper: {params: {seed: "0,1"}}}
"""


def test_the_leaderboard_is_there_while_the_sweep_runs_and_when_it_is_stopped(
    train: Train, finished, monkeypatch
):
    seen: list[int] = []

    def stopped(cfg: Any, folder: Path, *_: Any, **__: Any) -> float:
        file = folder.parent / "jobs.csv"
        seen.append([row["status"] for row in rows(file)].count("completed") if file.is_file() else 0)
        if cfg.seed == 2:
            raise KeyboardInterrupt
        for name in ("result.json", "config.yaml"):
            (folder / name).write_text((source / name).read_text().replace("seed: 0", f"seed: {cfg.seed}"))
        return 0.5

    source = finished(*SMOKE).folder
    monkeypatch.setattr("dae.run.run", stopped)
    done = train("-m", "seed=0,1,2,3", *SMOKE, place="sweep")
    assert done.exit_code == 130
    assert seen == [0, 1, 2]
    assert "3 jobs: 2 completed, 1 interrupted" in done.out
    assert "continue or extend" in done.out
    assert "failed:" not in done.err, "what was stopped has not failed"


def test_the_exit_code_is_of_the_jobs_of_the_last_command(tmp_path, capsys, monkeypatch):
    """A folder that is continued may hold a failed job that nobody asks for any more."""
    monkeypatch.setattr(SweepFolder, "folder", tmp_path)
    old = add_job(tmp_path, "dae.noise.p=7", status="failed", error="found 7")
    os.utime(old / ".hydra" / "overrides.yaml", (1e9, 1e9))
    write_multirun(tmp_path, ["dae.noise.p=0.1"])
    add_job(tmp_path, "dae.noise.p=0.1", value=0.5)
    assert _close(Job(""), ended=True) == 0
    with monkeypatch.context() as patch:
        patch.setattr("dae.launch.owner_of", lambda folder: "process 7")
        assert _close(Job(""), ended=True) == 1, "what another launch still runs is not done"
    assert "2 jobs: 1 completed, 1 failed" in capsys.readouterr().out
    add_job(tmp_path, "dae.noise.p=8", status="failed", error="found 8")
    assert _close(Job(""), ended=True) == 1
    assert "1 of 2 jobs failed:" in capsys.readouterr().err


def test_a_finished_sweep_is_compared_without_running_anything(train: Train, capsys):
    done = train("-m", "dae.noise.p=0.1,0.4", *SMOKE)
    sweep = done.folders[0].parent
    assert "Does" not in done.out
    assert main(["leaderboard", str(sweep), "--compare", "dae.noise.p"]) == 0
    assert (
        "Does dae.noise.p=0.4 help? 0.4 against 0.1: no verdict (it needs 3 seeds" in capsys.readouterr().out
    )
    (row,) = rows(sweep / "comparison.csv")
    results = {f.name[:5]: json.loads((f / "result.json").read_text())["metrics"] for f in done.folders}
    own, base = (results[name]["classifier/test/accuracy"] for name in ("p-0.4", "p-0.1"))
    assert float(row["difference"]) == pytest.approx(own - base)
    order = read_order(sweep)
    assert order is not None
    assert order.values == {"dae.noise.p": ["0.1", "0.4"]}
    assert main(["leaderboard", str(sweep), "--compare", "noise"]) == 2
    words = "noise has not several values in this sweep; expected one of the swept keys dae.noise.p"
    assert words in capsys.readouterr().err
