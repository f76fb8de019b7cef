"""The comparison on the page of a sweep: made figures, and a real sweep."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from dae.cli import main
from dae.report.comparison_section import comparison_section, key_ticks
from dae.report.write import write_sweep_report
from dae.sweeps.arms import compare_arms
from dae.sweeps.leaderboard import read_board
from helpers import SMOKE, Page, add_job, drawn, markers, write_multirun, write_run_info

ARMS = ("none", "plain", "denoising")


def add_study(sweep: Path, *keys: str, counts: dict[str, int] | None = None) -> None:
    """Three arms and three seeds for each of the overrides; ``counts`` are the labels that were used."""
    for number, key in enumerate(keys):
        for place, arm in enumerate(ARMS):
            for seed in range(3):
                test = 0.7 + number / 20 + place / 50 + (seed + 1) * place / 1000
                folder = add_job(
                    sweep,
                    f"pretraining={arm}",
                    *key.split(),
                    f"seed={seed}",
                    value=test,
                    classifier__test__accuracy=test,
                )
                if counts:
                    used = next(count for value, count in counts.items() if f"={value}" in key)
                    write_run_info(folder, labels=used)


def page_of(sweep: Path) -> Page:
    page = Page(write_sweep_report(sweep, "pretraining").parent)
    page.assert_well_formed()
    return page


def test_the_answer_comes_first_and_large(tmp_path):
    add_study(tmp_path, "data.labels=10", "data.labels=100")
    write_multirun(tmp_path, [f"pretraining={','.join(ARMS)}", "data.labels=10,100", "seed=0,1,2"])
    page = page_of(tmp_path)
    (answer,) = (each for each in page.all("p") if str(each.get("class")).startswith("answer"))
    assert answer["class"] == "answer helps"
    words = [
        "Does pretraining help? denoising against none",
        "Yes, it helps: +4.40 points of classifier/test/accuracy.",
        "95 % interval",
        "3 seeds, one test set.",
        "With pretraining=none 72.50 % of the test images are classified right",
        "Nothing was chosen on the test set",
        "Leaderboard by classifier/val/accuracy",
    ]
    places = [page.text.index(text) for text in words]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("keys", "axis", "panels"),
    [
        (["dae.epochs=1", "dae.epochs=2"], "dae.epochs", 1),
        (["classifier=mlp dae.epochs=1", "classifier=random dae.epochs=1", "classifier=mlp dae.epochs=2"],
         "dae.epochs", 2),
        (["data.labels=10/class", "data.labels=null"], "data.labels", 1),
        (["classifier=linear", "classifier=finetune"], None, 1),
        ([""], None, 1),
    ],
)  # fmt: skip
def test_the_figure_is_against_the_other_number_or_has_a_row_a_combination(tmp_path, keys, axis, panels):
    add_study(tmp_path, *keys)
    section = comparison_section(read_board(tmp_path, "pretraining"))
    assert section is not None
    assert section["axis"] == axis
    assert len(section["panels"]) == panels
    svg = section["panels"][0][1]
    assert len([each for each in drawn(svg, "band") if each.tag == "g"]) == (3 if axis else 0)
    assert len(markers(svg, "line" if axis else "dots")) >= 3
    page_of(tmp_path)


def test_labels_stand_where_stage_two_has_used_so_many(tmp_path):
    keys = ("data.labels=10/class", "data.labels=100/class", "data.labels=null")
    write_multirun(tmp_path, ["pretraining=none,plain,denoising", "data.labels=10/class,100/class,null"])
    add_study(tmp_path, *keys, counts={"10/": 100, "100/": 890, "null": 1258})
    comparison = compare_arms(read_board(tmp_path, "pretraining"))
    assert comparison is not None
    ticks = key_ticks(comparison, "data.labels")
    assert (ticks.places, ticks.log) == ({"10/class": 100.0, "100/class": 890.0, "all": 1258.0}, True)
    for file in tmp_path.glob("*/run.json"):
        file.unlink()
    ticks = key_ticks(comparison, "data.labels")
    assert (ticks.places, ticks.log) == ({"10/class": 0.0, "100/class": 1.0, "all": 2.0}, False), (
        "side by side"
    )


def test_signs_stand_beside_their_arm(tmp_path):
    add_study(tmp_path, "")
    write_multirun(tmp_path, [f"pretraining={','.join(ARMS)}", "seed=0,1,2"])
    for file in tmp_path.glob("*plain*/result.json"):
        sign = {"stage": "dae", "name": "few_steps", "text": "few", "value": 2, "limit": 300}
        file.write_text(json.dumps({**json.loads(file.read_text()), "signs": [sign]}))
    page = page_of(tmp_path)
    assert "plain 3 of 3 jobs show signs that little was learned: dae: few optimizer steps" in page.text
    assert '"answer helps"' in page.source, "the answer is about the others"


def test_an_answer_about_arms_that_learned_little_is_not_simply_green(tmp_path):
    add_study(tmp_path, "")
    file = next(tmp_path.glob("*none*/result.json"))
    sign = {"stage": "classifier", "name": "one_class", "text": "one", "value": 2, "limit": 300}
    file.write_text(json.dumps({**json.loads(file.read_text()), "signs": [sign]}))
    write_multirun(tmp_path, [f"pretraining={','.join(ARMS)}", "seed=0,1,2"])
    page = page_of(tmp_path)
    assert '"answer doubtful"' in page.source
    head = page.text[: page.text.index("Leaderboard by")]
    assert "none: 1 of 3 jobs shows signs that little was learned." in head


def test_a_picture_that_cannot_be_drawn_costs_only_itself(tmp_path):
    add_study(tmp_path, "")
    for folder in tmp_path.glob("*seed-0*"):
        (folder / "dae").mkdir()
        (folder / "dae" / "best.ckpt").write_bytes(b"no checkpoint")
        (folder / "config.yaml").write_text("data: {source: nowhere}\ndae: {reference_noise: null}\n")
    page = page_of(tmp_path)
    assert "Test images as each arm reconstructs them could not be drawn" in page.text
    assert not page.all("img")


REAL = ("-m", "compare=dae.noise.p", "dae.noise.p=0.1,0.4", *SMOKE)


def test_a_real_sweep_is_compared_at_its_end(finished):
    done = finished(*REAL)
    assert done.exit_code == 0, done.text
    sweep = done.folders[0].parent
    assert "\nDoes dae.noise.p=0.4 help? 0.4 against 0.1: " in done.out
    assert "1 seed is too few, a verdict needs 3" in done.out
    with (sweep / "comparison.csv").open() as lines:
        (row,) = csv.DictReader(lines)
    assert (row["dae.noise.p"], row["baseline"], row["n"], row["p"]) == ("0.4", "0.1", "1", "")
    results = [json.loads((folder / "result.json").read_text())["metrics"] for folder in done.folders]
    own, base = (result["classifier/test/accuracy"] for result in (results[1], results[0]))
    assert float(row["difference"]) == pytest.approx(own - base)
    page = Page(sweep)
    page.assert_well_formed(leads_to={f"{folder.name}/report.html" for folder in done.folders})
    (picture,) = page.all("img")
    assert str(picture["alt"]).startswith("Test images, the same under the reference noise")
    assert "seed 0" in str(picture["alt"])
    assert "the winner again" in done.out
    assert "compare" not in next(line for line in done.out.splitlines() if "the winner again" in line)


def test_a_finished_sweep_is_compared_without_running_anything(finished, tmp_path, capsys, monkeypatch):
    sweep = tmp_path / "sweep"
    shutil.copytree(finished(*REAL).folders[0].parent, sweep)
    (sweep / "comparison.csv").unlink()
    write_multirun(sweep, ["dae.noise.p=0.1,0.4"])
    monkeypatch.chdir(tmp_path)
    assert main(["leaderboard", "sweep"]) == 0
    assert "Does" not in capsys.readouterr().out
    assert main(["leaderboard", "sweep", "--compare", "dae.noise.p"]) == 0
    assert capsys.readouterr().out.startswith("Does dae.noise.p=0.4 help? 0.4 against 0.1: ")
    assert (sweep / "comparison.csv").is_file()
    assert "Does dae.noise.p=0.4 help?" in Page(sweep).text
    assert main(["leaderboard", "sweep", "--compare", "noise"]) == 2
    words = "noise has not several values in this sweep; expected one of the swept keys dae.noise.p"
    assert words in capsys.readouterr().err
