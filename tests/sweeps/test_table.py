"""Sweep folders made by hand: what a job is, how jobs are grouped and ranked, and the files of that."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest

from dae.sweeps.commands import next_commands
from dae.sweeps.leaderboard import console_text, read_sweep, write_leaderboard, write_or_warn
from dae.sweeps.table import read_table
from helpers import ACCURACY, LOSS, add_job, begin_job, write_multirun


def rows(file: Path) -> list[dict[str, str]]:
    with file.open() as lines:
        return list(csv.DictReader(lines))


def board(sweep: Path) -> list[dict[str, str]]:
    write_leaderboard(sweep)
    return rows(sweep / "leaderboard.csv")


def column(found: list[dict[str, str]], name: str) -> list[str]:
    return [row[name] for row in found]


def console(sweep: Path) -> str:
    return console_text(*read_sweep(sweep))


@pytest.mark.parametrize(("objective", "order"), [(ACCURACY, ["0.3", "0.1"]), (LOSS, ["0.1", "0.3"])])
def test_groups_are_ranked_by_the_mean_in_the_direction_of_the_objective(tmp_path, objective, order):
    # The single best job (0.1, seed 1) is not in the group with the highest mean.
    for p, values in {"0.1": (0.2, 0.9), "0.3": (0.7, 0.8)}.items():
        for seed, value in enumerate(values):
            add_job(tmp_path, f"dae.noise.p={p}", f"seed={seed}", value=value, objective=objective)
    found = board(tmp_path)
    assert column(found, "dae.noise.p") == order
    assert (column(found, "rank"), column(found, "n")) == (["1", "2"], ["2", "2"])
    by_p = {row["dae.noise.p"]: row for row in found}
    assert float(by_p["0.1"]["mean"]) == pytest.approx(0.55)
    assert float(by_p["0.1"]["std"]) == pytest.approx(0.7 / 2**0.5), "of a sample: n - 1"
    best = next(tmp_path.glob(f"p-0.1_seed-{1 if objective == ACCURACY else 0}-*")).name
    assert by_p["0.1"]["checkpoint"] == f"{best}/{objective[0].partition('/')[0]}/best.ckpt"


def test_what_a_job_is_stands_in_its_config_and_not_in_what_was_typed(tmp_path):
    """The same config in other words is the same row, and counts once a seed."""
    add_job(tmp_path, "classifier=notebook", "dae.noise.p=0.20", "seed=0", value=0.5)
    add_job(tmp_path, "dae.noise.p=0.2", "name=again", "classifier=notebook", "seed=1", value=0.7)
    add_job(tmp_path, "dae.noise.p=0.2", "threads=1", "classifier=notebook", "seed=1", value=0.9)
    add_job(tmp_path, "classifier=linear", "dae.noise.p=0.2", "seed=0", value=0.1)
    first, second = board(tmp_path)
    assert [*first][:2] == ["rank", "classifier"], "the seed is no column, nor what makes no run another run"
    assert (first["classifier"], first["n"], second["n"]) == ("notebook", "2", "1")
    assert len(rows(tmp_path / "jobs.csv")) == 4


@pytest.mark.parametrize(
    ("jobs", "keys"),
    [
        # A group decides what lies in it, unless jobs of one choice differ.
        ([["classifier=linear", "classifier.hidden=null"], ["classifier=mlp", "classifier.hidden=9"]],
         ["classifier"]),
        ([["dae/noise=mask", "dae.noise.p=0.1"], ["dae/noise=mask", "dae.noise.p=0.2"], ["dae/noise=block"]],
         ["dae/noise", "dae.noise.p"]),
        ([["experiment=a", "dae.epochs=1"], ["experiment=b", "dae.epochs=2"]], ["experiment"]),
        ([["dae/noise@dae.reference_noise=mask"], ["dae/noise@dae.reference_noise=block"]],
         ["dae/noise@dae.reference_noise"]),
        # Two names for the same content are no column.
        ([["experiment=a"], ["experiment=a", "seed=1"]], []),
        # What follows another key is that key's; where data lie is no difference, unless it was asked for.
        ([["data.labels_seed='${seed}'", "seed=0"], ["data.labels_seed='${seed}'", "seed=1"]], []),
        ([["data.root=a"], ["data.root=b"]], ["data.root"]),
    ],
)  # fmt: skip
def test_the_columns_are_the_keys_in_which_jobs_differ(tmp_path, jobs, keys):
    for overrides in jobs:
        add_job(tmp_path, *overrides, value=0.5)
    assert [*read_table(tmp_path).keys] == keys


def test_the_test_metrics_have_means_and_stds(tmp_path):
    for seed, test in enumerate((0.5, 0.7)):
        add_job(tmp_path, f"seed={seed}", value=0.9, classifier__test__accuracy=test, dae__val__psnr=20)
    (row,) = board(tmp_path)
    assert float(row["classifier/test/accuracy_mean"]) == pytest.approx(0.6)
    assert float(row["classifier/test/accuracy_std"]) == pytest.approx(0.2 / 2**0.5)
    assert not [name for name in row if "psnr" in name], "the rest is in jobs.csv"
    assert column(rows(tmp_path / "jobs.csv"), "dae/val/psnr") == ["20.0", "20.0"]


def test_failed_jobs_count_but_do_not_rank(tmp_path):
    refused = "1 thing is wrong with this command:\n  - dae.noise.p: found 7, expected a number"
    add_job(tmp_path, "dae.noise.p=7", status="failed", objective=(None, None), error=refused)
    add_job(tmp_path, "dae.noise.p=0.9", "seed=0", value=0.5)
    add_job(tmp_path, "dae.noise.p=0.9", "seed=1", status="failed", error="NaN at step 3\nand more")
    add_job(tmp_path, "dae.noise.p=0.1", value=None)  # completed, but its objective was NaN
    add_job(tmp_path, "dae.noise.p=0.2", status="pruned", value=0.99)
    add_job(tmp_path, "dae.noise.p=0.3", status="interrupted")
    found = {row["dae.noise.p"]: row for row in board(tmp_path)}
    assert next(iter(found)) == "0.9"
    assert {p: row["failed"] for p, row in found.items()} == {
        "0.9": "1",
        "7": "1",
        "0.1": "1",
        "0.2": "0",
        "0.3": "0",
    }
    assert (found["7"]["rank"], found["7"]["n"], found["7"]["checkpoint"]) == ("", "0", "")
    page = (tmp_path / "leaderboard.md").read_text()
    assert "6 jobs: 2 completed, 2 failed, 1 interrupted, 1 pruned" in page
    assert ": 1 thing is wrong with this command: dae.noise.p: found 7, expected a number." in page
    assert "completed, but classifier/val/accuracy is not a number" in page


def test_a_refused_job_has_what_it_was_asked_for(tmp_path):
    """It has no ``config.yaml`` of its own: nothing was resolved."""
    add_job(tmp_path, "dae.noise.p=0.1", "data.limit=9", value=0.5)
    refused = add_job(tmp_path, "dae.noise.p=7", "data.limit=9", status="failed", objective=(None, None))
    (refused / "config.yaml").unlink()
    assert [row["dae.noise.p"] for row in board(tmp_path)] == ["0.1", "7"]
    assert read_table(tmp_path).keys == ("dae.noise.p",)


def test_a_job_without_a_result_runs_and_other_folders_are_passed_over(tmp_path):
    begin_job(tmp_path, "seed=0", "hydra.job.chdir=false")
    add_job(tmp_path, "seed=1", value=0.5)
    (tmp_path / "stage1" / "dae").mkdir(parents=True)
    half = tmp_path / "half" / ".hydra"
    half.mkdir(parents=True)
    (half / "overrides.yaml").write_text("- 'see")
    write_leaderboard(tmp_path)
    found = {row["folder"]: row["status"] for row in rows(tmp_path / "jobs.csv")}
    assert found.pop("half") == "running", "Hydra has not written its files to their end"
    assert [*found.values()] == ["running", "completed"]


@pytest.mark.parametrize("text", ['{"status": "comp', "[]", '{"objective": {"name": "a/b/c", "mode": "up"}}'])
def test_what_cannot_be_read_is_a_row_that_says_so(tmp_path, text):
    (add_job(tmp_path, "dae.epochs=1") / "result.json").write_text(text)
    add_job(tmp_path, "dae.epochs=2", value=0.5)
    write_leaderboard(tmp_path)
    job = next(row for row in rows(tmp_path / "jobs.csv") if row["status"] == "broken")
    assert "result.json cannot be read: " in job["error"]
    assert "Delete it" in job["error"]
    assert column(board(tmp_path), "failed") == ["0", "1"]


def test_only_what_shares_the_most_common_objective_is_ranked(tmp_path):
    add_job(tmp_path, "stage=dae", value=0.1, objective=LOSS)
    for p in (0.1, 0.2):
        add_job(tmp_path, "stage=both", f"dae.noise.p={p}", value=0.9)
    found = board(tmp_path)
    assert column(found, "rank") == ["1", "1", ""]
    assert "1 job judged by another metric not ranked" in console(tmp_path)


def test_no_file_is_ever_half_written(tmp_path, monkeypatch):
    add_job(tmp_path, "seed=0", value=0.5)
    write_leaderboard(tmp_path)
    before = {file.name: file.read_text() for file in tmp_path.glob("*.*")}
    assert set(before) == {"jobs.csv", "leaderboard.csv", "leaderboard.md"}
    add_job(tmp_path, "seed=1", value=0.6)

    def full(file: Path, text: str, **_: str) -> None:
        with file.open("w") as half:
            half.write(text[:5])
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert not write_or_warn(tmp_path), "a job is not lost by it"
    assert {file.name: file.read_text() for file in tmp_path.iterdir() if file.is_file()} == before


@pytest.mark.parametrize(
    ("keys", "objective", "words"),
    [
        (("dae.noise.p",), "dae/val/loss", None),
        (("data.validation",), "classifier/val/accuracy", "data.validation decide what is measured on"),
        (("data.labels",), "classifier/val/accuracy", None),
        (("dae.reference_noise.p",), "dae/val/psnr", "dae.reference_noise.p decide what is measured on"),
    ],
)
def test_cautions(tmp_path, keys, objective, words):
    for number in range(2):
        for seed in range(2):
            values = [f"{key}={number}" for key in keys]
            judged = (objective, "min" if "loss" in objective else "max")
            add_job(tmp_path, *values, f"seed={seed}", value=0.5 + number, objective=judged)
    write_leaderboard(tmp_path)
    for text in (console(tmp_path), (tmp_path / "leaderboard.md").read_text()):
        assert words in text if words else "Caution" not in text


def test_signs_that_little_was_learned_and_single_seeds_are_cautions(tmp_path):
    for p in range(3):
        add_job(tmp_path, f"dae.noise.p={p}", value=0.5, signs=["dae/few_steps"] if p == 1 else ())
    text = console(tmp_path)
    assert "Caution: 1 of 3 jobs shows signs that little was learned: dae: few optimizer steps (1)" in text
    assert "one seed each" in text
    add_job(tmp_path, "dae.noise.p=1", "seed=1", value=0.3)
    assert "one seed each" not in console(tmp_path)


def test_the_console_shows_ten_rows_and_where_the_rest_is(tmp_path):
    for number in range(12):
        add_job(
            tmp_path, f"dae.noise.p=0.{number + 10}", f"data.words={'x' * 60}{number}", value=number / 100
        )
    text = console(tmp_path)
    assert text.count(f"{'x' * 37}...") == 10
    assert "... 2 more in leaderboard.md" in text
    write_leaderboard(tmp_path)
    assert (tmp_path / "leaderboard.md").read_text().count("\n| ") == 13 + 1


def test_commands_can_be_pasted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    sweep = tmp_path / "my sweeps, 'new' [1]"
    typed = ["experiment=study", 'data.root="it\'s, a (place)"', "seed=2,10"]
    told = ["hydra.mode=MULTIRUN", "hydra.sweep.dir=elsewhere", "hydra.callbacks.sweep_folder.count=3"]
    write_multirun(sweep, typed, ["hydra/launcher=basic", *told])
    add_job(sweep, *typed[:2], "seed=10", value=0.9)
    found = next_commands(read_table(sweep))
    quoted = "'data.root=\"it'\"'\"'s, a (place)\"'"
    assert found == {
        "the winner again": f"python train.py hydra.mode=RUN experiment=study {quoted} seed=10",
        "continue or extend": "python train.py -m 'hydra.sweep.dir=\"my sweeps, '\"'\"'new'\"'\"' [1]\"' "
        f"hydra/launcher=basic experiment=study {quoted} seed=2,10",
    }
    add_job(sweep, *typed[:2], "pretraining=none", value=0.9)
    assert found["continue or extend"].startswith("python train.py -m")
    assert next_commands(read_table(sweep))["compare"].endswith(" --compare pretraining")
