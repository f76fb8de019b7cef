"""Sweep folders made by hand, and one real sweep."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from dae.report.sweep_end import close_sweep
from dae.runs.records import FORMAT
from dae.sweeps.commands import SWEPT, next_commands
from dae.sweeps.hook import count_jobs
from dae.sweeps.job_names import job_folder
from dae.sweeps.leaderboard import rebuild_leaderboard, rebuild_or_warn
from dae.sweeps.leaderboard_text import console_text
from helpers import ACCURACY, LOSS, QUIET, SMOKE, add_job, begin_job, write_multirun


def table(file: Path) -> list[dict[str, str]]:
    with file.open() as lines:
        return list(csv.DictReader(lines))


def board(sweep: Path) -> list[dict[str, str]]:
    rebuild_leaderboard(sweep)
    return table(sweep / "leaderboard.csv")


def column(rows: list[dict[str, str]], name: str) -> list[str]:
    return [row[name] for row in rows]


@pytest.mark.parametrize(("objective", "order"), [(ACCURACY, ["0.3", "0.1"]), (LOSS, ["0.1", "0.3"])])
def test_groups_are_ranked_by_the_mean_in_the_direction_of_the_objective(tmp_path, objective, order):
    # The single best job (0.1, seed 1) is not in the group with the highest mean.
    for p, values in {"0.1": (0.2, 0.9), "0.3": (0.7, 0.8)}.items():
        for seed, value in enumerate(values):
            add_job(tmp_path, f"dae.noise.p={p}", f"seed={seed}", value=value, objective=objective)
    rows = board(tmp_path)
    assert column(rows, "dae.noise.p") == order
    assert column(rows, "rank") == ["1", "2"]
    assert column(rows, "n") == ["2", "2"]
    by_p = {row["dae.noise.p"]: row for row in rows}
    assert float(by_p["0.1"]["mean"]) == pytest.approx(0.55)
    assert float(by_p["0.1"]["std"]) == pytest.approx(0.7 / 2**0.5), "of a sample: n - 1"
    best = {"max": "seed=1", "min": "seed=0"}[objective[1]]
    stage = objective[0].partition("/")[0]
    assert by_p["0.1"]["checkpoint"] == f"{job_folder(['dae.noise.p=0.1', best])}/{stage}/best.ckpt"


def test_the_test_metrics_have_means_and_stds(tmp_path):
    for seed, test in enumerate((0.5, 0.7)):
        add_job(tmp_path, f"seed={seed}", value=0.9, classifier__test__accuracy=test, dae__val__psnr=20)
    (row,) = board(tmp_path)
    assert float(row["classifier/test/accuracy_mean"]) == pytest.approx(0.6)
    assert float(row["classifier/test/accuracy_std"]) == pytest.approx(0.2 / 2**0.5)
    assert not [name for name in row if "psnr" in name], "the rest is in jobs.csv"
    assert column(table(tmp_path / "jobs.csv"), "dae/val/psnr") == ["20.0", "20.0"]


def test_ties_share_a_rank(tmp_path):
    for p, value in (("0.1", 0.5), ("0.2", 0.9), ("0.3", 0.9), ("0.4", 0.7)):
        add_job(tmp_path, f"dae.noise.p={p}", value=value)
    rows = board(tmp_path)
    assert column(rows, "rank") == ["1", "1", "3", "4"]
    assert column(rows, "dae.noise.p") == ["0.2", "0.3", "0.4", "0.1"]
    assert column(rows, "std") == [""] * 4, "one job has no spread"


def test_failed_jobs_count_but_do_not_rank(tmp_path):
    refused = "1 thing is wrong with this command:\n  - dae.noise.p: found 7, expected a number"
    add_job(tmp_path, "dae.noise.p=7", "seed=0", status="failed", objective=(None, None), error=refused)
    add_job(tmp_path, "dae.noise.p=0.9", "seed=0", value=0.5)
    add_job(tmp_path, "dae.noise.p=0.9", "seed=1", status="failed", error="NaN at step 3\nand more")
    add_job(tmp_path, "dae.noise.p=0.1", "seed=0", value=None)  # completed, but its objective was NaN
    add_job(tmp_path, "dae.noise.p=0.2", "seed=0", status="pruned", value=0.99)
    add_job(tmp_path, "dae.noise.p=0.3", "seed=0", status="interrupted")
    rows = {row["dae.noise.p"]: row for row in board(tmp_path)}
    assert next(iter(rows)) == "0.9"
    assert (rows["0.9"]["rank"], rows["0.9"]["n"], rows["0.9"]["failed"]) == ("1", "1", "1")
    assert {p: row["failed"] for p, row in rows.items()} == {
        "0.9": "1",
        "7": "1",
        "0.1": "1",
        "0.2": "0",
        "0.3": "0",
    }
    for p in ("7", "0.1", "0.2", "0.3"):
        assert (rows[p]["rank"], rows[p]["n"], rows[p]["mean"], rows[p]["checkpoint"]) == ("", "0", "", "")
    page = (tmp_path / "leaderboard.md").read_text()
    assert "6 jobs: 2 completed, 2 failed, 1 interrupted, 1 pruned" in page
    assert ": 1 thing is wrong with this command: dae.noise.p: found 7, expected a number\n" in page
    assert ": NaN at step 3\n" in page
    assert "completed, but classifier/val/accuracy is not a number" in page


def test_a_job_without_a_result_runs_and_other_folders_are_passed_over(tmp_path):
    begin_job(tmp_path, "seed=0", "hydra.job.chdir=false")
    add_job(tmp_path, "seed=1", value=0.5)
    (tmp_path / "stage1" / "dae").mkdir(parents=True)
    (tmp_path / ".locks").mkdir()
    half = tmp_path / "half" / ".hydra"
    half.mkdir(parents=True)
    (half / "overrides.yaml").write_text("- 'see")
    rebuild_leaderboard(tmp_path)
    rows = table(tmp_path / "jobs.csv")
    assert {row["seed"]: row["status"] for row in rows} == {"0": "running", "1": "completed"}
    assert "chdir" not in (tmp_path / "jobs.csv").read_text()
    assert column(table(tmp_path / "leaderboard.csv"), "n") == ["1"]


@pytest.mark.parametrize(
    "text",
    [
        '{"status": "comp',
        "[]",
        "",
        '{"objective": {"name": "a/b/c", "mode": "up", "value": 1}}',
        '{"objective": {"name": "a/b/c", "mode": "min", "value": "much"}, "metrics": {}, "checkpoints": {}, '
        '"status": "completed", "seconds": {}, "error": null}',
    ],
)
def test_a_broken_result_is_a_status_with_words(tmp_path, text):
    folder = add_job(tmp_path, "seed=0")
    (folder / "result.json").write_text(text)
    add_job(tmp_path, "seed=1", value=0.5)
    rebuild_leaderboard(tmp_path)
    job = next(row for row in table(tmp_path / "jobs.csv") if row["seed"] == "0")
    assert job["status"] == "broken"
    assert job["error"].startswith("result.json cannot be read (")
    assert job["error"].endswith("delete it and continue the sweep to run this job again")
    assert column(table(tmp_path / "leaderboard.csv"), "failed") == ["1"]


def test_only_what_shares_the_most_common_objective_is_ranked(tmp_path):
    add_job(tmp_path, "stage=dae", value=0.1, objective=LOSS)
    for p in (0.1, 0.2):
        add_job(tmp_path, "stage=both", f"dae.noise.p={p}", value=0.9)
    rows = board(tmp_path)
    assert column(rows, "rank") == ["1", "1", ""]
    assert column(rows, "stage") == ["both", "both", "dae"]
    assert rows[2]["mean"] == rows[2]["dae.noise.p"] == ""
    assert [row["value"] for row in table(tmp_path / "jobs.csv") if row["stage"] == "dae"] == ["0.1"]
    words = (
        "1 job is judged by dae/val/loss and not ranked, since most are by classifier/val/accuracy; "
        "objective=classifier/val/accuracy judges all jobs"
    )
    assert words in (tmp_path / "leaderboard.md").read_text()


def test_no_file_is_ever_half_written(tmp_path, monkeypatch):
    add_job(tmp_path, "seed=0", value=0.5)
    rebuild_leaderboard(tmp_path)
    before = {file.name: file.read_text() for file in tmp_path.glob("*.*")}
    assert set(before) == {"jobs.csv", "leaderboard.csv", "leaderboard.md"}
    add_job(tmp_path, "seed=1", value=0.6)

    def full(file: Path, text: str, **_: str) -> None:
        with file.open("w") as half:
            half.write(text[:5])
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert rebuild_or_warn(tmp_path) is None, "a job is not lost by it"
    assert {file.name: file.read_text() for file in tmp_path.iterdir() if file.is_file()} == before


@pytest.mark.parametrize(
    ("keys", "objective", "words"),
    [
        (
            ("dae.noise.p",),
            "dae/val/loss",
            "measured on the clean input, so ranking dae.noise.p by it favours",
        ),
        (
            ("dae/noise",),
            "dae/val/pixel_accuracy",
            "one of objective=dae/val/psnr, objective=dae/val/noisy_loss",
        ),
        (("dae.noise.p",), "dae/val/psnr", None),
        (("dae.noise.p",), "classifier/val/loss", None),
        (("data.validation",), "classifier/val/accuracy", "data.validation are measured on different images"),
        (
            ("data", "data.image_size"),
            "dae/val/loss",
            "data and data.image_size are measured on different images",
        ),
        (("data.labels",), "classifier/val/accuracy", None),
        (("dae.reference_noise.p",), "dae/val/psnr", "dae.reference_noise.p are measured on different noise"),
        (
            ("dae/noise@dae.reference_noise",),
            "dae/val/ssim",
            "reference_noise are measured on different noise",
        ),
        (("dae.reference_noise.p",), "dae/val/loss", None),
        (("dae.optimizer.lr",), "dae/val/loss", None),
    ],
)
def test_cautions(tmp_path, keys, objective, words):
    mode = "min" if "loss" in objective else "max"
    for number in range(2):
        for seed in range(2):
            values = [f"{key}={number}" for key in keys]
            add_job(tmp_path, *values, f"seed={seed}", value=0.5 + number, objective=(objective, mode))
    text = console_text(rebuild_leaderboard(tmp_path))
    page = (tmp_path / "leaderboard.md").read_text()
    if words is None:
        assert "Caution" not in text + page
    else:
        assert words in text
        assert words in page


def test_signs_that_little_was_learned_are_a_caution(tmp_path):
    for seed in range(3):
        add_job(tmp_path, f"seed={seed}", value=0.5, signs=["dae/few_steps"] if seed == 1 else ())
    board = rebuild_leaderboard(tmp_path)
    assert [job.signs for job in board.jobs] == [(), ("dae/few_steps",), ()]
    words = "1 of 3 jobs shows signs that little was learned, with figures on their own pages: dae: few opt"
    assert words in console_text(board)
    assert words in (tmp_path / "leaderboard.md").read_text()
    assert column(table(tmp_path / "jobs.csv"), "signs") == ["", "dae/few_steps", ""]


def test_a_result_of_an_older_version_shows_no_signs(tmp_path):
    file = add_job(tmp_path, "seed=0", value=0.5) / "result.json"
    content = json.loads(file.read_text())
    del content["signs"]
    file.write_text(json.dumps(content))
    (job,) = rebuild_leaderboard(tmp_path).jobs
    assert (job.status, job.signs) == ("completed", ())


def test_one_seed_each_is_a_caution_of_its_own(tmp_path):
    for p in (0.1, 0.2):
        add_job(tmp_path, f"dae.noise.p={p}", "seed=0", value=p)
    assert "one seed each" in console_text(rebuild_leaderboard(tmp_path))
    assert "add seed=0,1,2" in console_text(rebuild_leaderboard(tmp_path))
    add_job(tmp_path, "dae.noise.p=0.1", "seed=1", value=0.3)
    assert "one seed each" not in console_text(rebuild_leaderboard(tmp_path))


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ((0.80, 0.90), (0.70, 0.80), "0.8000 to 0.9000 and 0.7000 to 0.8000"),
        ((0.80, 0.90), (0.60, 0.95), "0.8000 to 0.9000 and 0.6000 to 0.9500"),
        ((0.80, 0.90), (0.85,), None),
        ((0.80, 0.90), (0.70, 0.79), None),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_seeds_of_the_best_two_that_overlap_or_touch_are_a_caution(tmp_path, first, second, words, sign):
    objective = ("classifier/val/accuracy", "max") if sign > 0 else ("dae/val/loss", "min")
    for lr, values in ((1, first), (2, second), (3, (0.1, 0.2))):
        for seed, value in enumerate(values):
            add_job(tmp_path, f"lr={lr}", f"seed={seed}", value=sign * value, objective=objective)
    text = console_text(rebuild_leaderboard(tmp_path))
    overlaps = words is not None or len(second) == 1
    assert ("over their seeds the best two overlap" in text) == overlaps
    assert ("add seed=0,1,2,3,4" in text) == overlaps
    if words and sign > 0:
        assert words in text


ODD = ["dae.encoder.widths=[16,8,8]", 'data.root="it\'s, a (place)"', "~callbacks=null", "seed=10"]


def test_commands_can_be_pasted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    sweep = tmp_path / "my sweeps, 'new' [1]"
    typed = ["dae.encoder.widths=[16,8,8],[8,8,8]", *ODD[1:3], "seed=2,10"]
    swept = f"{SWEPT}=['seed']"
    write_multirun(
        sweep,
        typed,
        ["hydra/launcher=basic", "hydra.mode=MULTIRUN", "hydra.sweep.dir=elsewhere", swept],
    )
    add_job(sweep, *ODD, value=0.9)
    add_job(sweep, *ODD[:3], "seed=2", value=0.8)
    add_job(sweep, "dae.encoder.widths=[8,8,8]", *ODD[1:], value=0.1)
    found = {
        label: shlex.split(command) for label, command in next_commands(rebuild_leaderboard(sweep)).items()
    }
    assert found["the winner again"] == ["python", "train.py", *ODD]
    assert found["with all its seeds"] == ["python", "train.py", "-m", *ODD[:3], "seed=2,10"]
    python, train, flag, folder, *rest = found["continue or extend"]
    assert (python, train, flag) == ("python", "train.py", "-m")
    assert OverridesParser.create().parse_override(folder).value() == sweep.name
    assert rest == ["hydra/launcher=basic", *typed]


def test_an_experiment_that_is_a_sweep_is_not_one_again(tmp_path):
    write_multirun(tmp_path, ["experiment=study"], hydra=[])
    add_job(tmp_path, "experiment=study", "dae.noise.p=0.1", value=0.9)
    assert next_commands(rebuild_leaderboard(tmp_path)) == {
        "the winner again": "python train.py hydra.mode=RUN experiment=study dae.noise.p=0.1",
        "continue or extend": f"python train.py -m hydra.sweep.dir={tmp_path} experiment=study",
    }


def test_the_console_shows_ten_rows_and_where_the_rest_is(tmp_path):
    for number in range(12):
        add_job(tmp_path, f"dae.noise.p=0.{number + 10}", f"name={'x' * 60}{number}", value=number / 100)
    text = console_text(rebuild_leaderboard(tmp_path))
    assert text.count(f"{'x' * 37}...") == 10
    assert "... 2 more in leaderboard.md" in text
    assert max(len(line) for line in text.splitlines() if line.startswith("  1 ")) < 110
    assert (tmp_path / "leaderboard.md").read_text().count("\n| ") == 13 + 1


def test_nothing_heavy_is_imported_to_rank(tmp_path):
    add_job(tmp_path, "seed=0", value=0.5)
    code = (
        f"import sys; from pathlib import Path; from dae.sweeps.leaderboard import rebuild_leaderboard\n"
        f"rebuild_leaderboard(Path({str(tmp_path)!r}))\n"
        "print([n for n in ('torch', 'sklearn') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(
    ("task", "params", "jobs"),
    [
        (["seed=0,1,2", "dae.noise.p=0.1,0.2", "data=digits"], {}, 6),
        (["seed=range(0,5)"], {"dae.epochs": "1,2", "seed": "0,1"}, 10),
        (["data=digits"], None, 1),
        (["dae/noise=glob(*)"], {}, 0),
    ],
)
def test_how_many_jobs_there_are(task, params, jobs):
    hydra = {"sweeper": {"params": params}, "overrides": {"task": task}}
    assert count_jobs(OmegaConf.create({"hydra": hydra})) == jobs


def test_a_real_sweep_with_a_job_that_fails(train):
    sweep = ["dae.noise.p=0.1,0.4,7", "seed=0,1", "dae.encoder.widths=[16,8,8]", *SMOKE]
    done = train("-m", *sweep)
    assert done.exit_code == 1
    folder = done.folders[0].parent
    rows = table(folder / "leaderboard.csv")
    assert column(rows, "rank") == ["1", "2", ""]
    assert column(rows, "n") == ["2", "2", "0"]
    assert column(rows, "failed") == ["0", "0", "2"]
    for row in rows[:2]:
        assert (folder / row["checkpoint"]).is_file()
    assert column(table(folder / "jobs.csv"), "status").count("completed") == 4
    assert all(json.loads(file.read_text())["format"] == FORMAT for file in folder.glob("*/run.json"))

    told, leaderboard = done.out.split("Leaderboard by ")
    assert len(leaderboard.splitlines()) == 10, "a line for each group, one of caution, three of commands"
    first, *lines = told.splitlines()
    assert first == f"6 jobs in {folder.relative_to(done.place)}, logged in <job>/train.log"
    assert len(lines) == 12, "two a job"
    order = [f"p-{p}_seed-{seed}" for p in ("0.1", "0.4", "7") for seed in (0, 1)]
    for number, (line, words) in enumerate(zip(lines[::2], order, strict=True), 1):
        left = ", about .* left" if number > 1 else ""
        assert re.fullmatch(f"Job {number} of 6: {words}-[0-9a-f]{{6}}{left}", line)
    for line in lines[1:8:2]:
        assert re.fullmatch(r"  completed: classifier/val/accuracy 0\.\d{4}, [\d.]+ s", line)
    assert lines[-1].startswith("  failed after ")
    assert lines[-1].endswith("dae.noise.p: found 7, expected less than 1")
    assert done.logs.count("dae epoch 1/1") == 4
    assert done.logs.count("dae.noise.p: found 7") == 2, "the line about the job is for the console"
    assert "\n2 of 6 jobs failed:\n" in f"\n{done.err}"
    assert "p-7" in done.err
    assert "dae.noise.p: found 7, expected less than 1" in done.err

    winner, seeds, go_on = (
        shlex.split(line.strip().split("python train.py ")[1])
        for line in done.out.splitlines()
        if line.startswith(("  the winner again ", "  with all its seeds ", "  continue or extend "))
    )
    assert (seeds[0], seeds[-1]) == ("-m", "seed=0,1")
    assert go_on == ["-m", f"hydra.sweep.dir={folder.relative_to(done.place)}", *sweep]
    best = max(float(row["value"]) for row in table(folder / "jobs.csv") if _group(row) == _group(rows[0]))
    again = train(*winner, place="again")
    assert again.exit_code == 0
    assert again.result["objective"]["value"] == best


STUDY = """# @package _global_
hydra:
  mode: MULTIRUN
  sweeper:
    params:
      seed: 0,1
"""


@pytest.mark.usefixtures("untrained")
def test_the_winner_of_an_experiment_that_is_a_sweep_runs_alone(train, tmp_path):
    file = tmp_path / "my conf" / "experiment" / "study.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(STUDY)
    done = train(
        "--config-dir", str(tmp_path / "my conf"), "experiment=study", "stage=dae", *SMOKE, place="sweep"
    )
    assert done.exit_code == 0, done.text
    (winner,) = (
        shlex.split(line.split("python train.py ")[1])
        for line in done.out.splitlines()
        if line.startswith("  the winner again ")
    )
    (row,) = table(done.folders[0].parent / "leaderboard.csv")
    assert row["n"] == "2"
    again = train(*winner, place="again")
    assert again.exit_code == 0, again.text
    assert again.folder.parent.name == "outputs"


def _group(row: dict[str, str]) -> str:
    return row["dae.noise.p"]


def test_the_leaderboard_is_there_while_the_sweep_runs_and_when_it_is_stopped(train, finished, monkeypatch):
    seen: list[list[str]] = []

    def stopped(cfg: Any, folder: Path, *_: Any, **__: Any) -> float:
        file = folder.parent / "jobs.csv"
        seen.append(column(table(file), "status") if file.is_file() else [])
        if cfg.seed == 2:
            raise KeyboardInterrupt
        (folder / "result.json").write_text((source / "result.json").read_text())
        return 0.5

    source = finished(*SMOKE).folder
    monkeypatch.setattr("dae.run.run", stopped)
    done = train("-m", "seed=0,1,2,3", *SMOKE, place="sweep")
    assert done.exit_code == 130
    assert seen == [[], ["completed"], ["completed", "completed"]]
    assert "3 jobs: 2 completed, 1 interrupted" in done.out
    assert "continue or extend" in done.out
    assert "failed:" not in done.err, "what was stopped has not failed"


def test_jobs_that_other_processes_have_run_count(train, monkeypatch):
    """The process that launched them hears nothing of them but what lies in the folder."""

    def elsewhere(launcher: Any, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        sweep = Path(launcher.config.hydra.sweep.dir)
        for number, overrides in enumerate(job_overrides):
            if number < 2:
                add_job(sweep, *overrides, value=0.5, status=("completed", "failed")[number], error="broke")
            else:
                begin_job(sweep, *overrides)
        return []

    basic = Plugins.instance().class_name_to_class[
        "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
    ]
    monkeypatch.setattr(basic, "launch", elsewhere)
    done = train("-m", "seed=0,1,2")
    assert done.exit_code == 1
    assert "Leaderboard by classifier/val/accuracy" in done.out
    assert "2 of 3 jobs failed:\n  seed-1-" in done.err
    assert ": broke\n  seed-2-" in done.err
    assert "running: its process has ended without a result" in done.err


def test_the_exit_code_is_of_the_jobs_of_the_last_command(tmp_path, capsys):
    """A folder that is continued may hold a failed job that nobody asks for any more."""
    old = add_job(tmp_path, "dae.noise.p=7", status="failed", error="found 7")
    os.utime(old / ".hydra" / "overrides.yaml", (1e9, 1e9))
    write_multirun(tmp_path, ["dae.noise.p=0.1"])
    add_job(tmp_path, "dae.noise.p=0.1", value=0.5)
    assert close_sweep(tmp_path, [], ended=True) == 0
    assert "2 jobs: 1 completed, 1 failed" in capsys.readouterr().out
    add_job(tmp_path, "dae.noise.p=8", status="failed", error="found 8")
    assert close_sweep(tmp_path, [], ended=True) == 1
    assert "1 of 2 jobs failed:" in capsys.readouterr().err


def test_a_single_run_has_no_leaderboard(train):
    shown = ("stage=data", "data=digits", *QUIET)
    assert train("-m", "seed=0", *shown, place="a").exit_code == 0
    done = train(*shown, place="b")
    assert done.exit_code == 0
    assert "Leaderboard" not in done.text
    assert not list(done.place.rglob("leaderboard.*"))
