"""README's tables, from rows that were kept of sweeps."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from dae.cli import main
from dae.files import DamagedFileError
from dae.report.results import best_bold, result_lines
from dae.sweeps.leaderboard import read_sweep, write_leaderboard
from dae.sweeps.order import ask, read_order
from helpers import add_job, write_multirun, write_run_info


def lines_of(folder: Path) -> list[str]:
    _, comparison = read_sweep(folder)
    assert comparison is not None
    return list(result_lines(comparison))


def test_rows_that_were_kept_of_each_shard_say_what_the_sweep_says(tmp_path, capsys):
    sweep, kept = tmp_path / "sweep", tmp_path / "kept"
    write_multirun(sweep, ["pretraining=none,denoising", "data.labels=10,20", "seed=0,1,2"])
    for number, arm in enumerate(("none", "denoising")):
        for seed in range(3):
            for count in (10, 20):
                value = 0.5 + count / 100 + number * (2 + seed / 2) / 50
                words = (f"pretraining={arm}", f"data.labels={count}", f"seed={seed}")
                job = add_job(sweep, *words, value=value, classifier__test__accuracy=value)
                write_run_info(job, labels=count, classes=["a", "b"])
    ask(sweep, "pretraining")
    write_leaderboard(sweep)
    kept.mkdir()
    shutil.copy(sweep / "comparison.json", kept)
    with (sweep / "jobs.csv").open() as opened:
        head, *rows = csv.reader(opened)
    for seed in range(3):
        with (kept / f"seed-{seed}.csv").open("w") as opened:
            own = [row for row in rows if row[head.index("seed")] == str(seed)]
            csv.writer(opened).writerows([head, *own])
    said = lines_of(kept)
    assert said == lines_of(sweep)
    assert "* with 5 labels a class, denoising is as good as none with 7.07 (seeds: 6.6 to 7.58)" in said
    assert said[-1] == "| 20 | 70.00 | 75.00 | +5.0 (+2.5 to +7.5) |"
    assert main(["results", str(kept), "--figures", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == ["## kept", "", *said, ""]
    assert "10" in (tmp_path / "kept.svg").read_text()
    write_leaderboard(kept)
    assert lines_of(kept) == said, "what it writes is not read as rows"
    shutil.copy(kept / "seed-0.csv", kept / "again.csv")
    with pytest.raises(DamagedFileError, match="is there twice"):
        read_sweep(kept)


@pytest.mark.parametrize("keys", [("dae.noise.p",), ("dae/noise", "dae.noise.p")])
def test_arms_that_are_a_node_keep_their_names_and_their_order(tmp_path, keys):
    """The first level that was typed is the baseline, the last the answer, also when another one joins."""

    def add(level: str) -> None:
        for seed in range(3):
            values = {"dae/noise": "mask", "dae.noise.p": level}
            words = [f"{key}={values[key]}" for key in keys]
            value = float(level) + seed / 100
            add_job(tmp_path, *words, f"seed={seed}", value=value, classifier__test__accuracy=value)

    write_multirun(tmp_path, ["dae.noise.p=0.4,0.1", "seed=0,1,2"])
    ask(tmp_path, "dae.noise")
    kind = "mask" if len(keys) > 1 else "dropout"
    for levels in (("0.4", "0.1"), ("0.2",)):
        for level in levels:
            add(level)
        _, comparison = read_sweep(tmp_path)
        assert comparison is not None
        assert (comparison.arms[0], comparison.arms[-1]) == (f"{kind} p 0.4", f"{kind} p 0.1")
    assert "| 41.00 | 21.00 | 11.00 | -30.0 (-) |" in lines_of(tmp_path)


def test_the_best_of_a_loss_is_the_least():
    assert best_bold([[2.0, 3.0], [1.0], []], "min") == ["2.5000", "**1.0000**", "-"]


def test_what_is_no_table_of_jobs(tmp_path, capsys):
    assert main(["results", str(tmp_path / "nowhere")]) == 2
    assert "nowhere: holds nothing that is compared" in capsys.readouterr().err
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DamagedFileError, match=r"other.csv cannot be read: it is no jobs.csv"):
        read_sweep(tmp_path)
    (tmp_path / "comparison.json").write_text('{"key": "seed", "values": 3}')
    with pytest.raises(DamagedFileError, match=r"(?s)comparison.json cannot be read: .*values"):
        read_order(tmp_path)
