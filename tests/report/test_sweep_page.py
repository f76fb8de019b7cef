"""Sweep folders made by hand, and a real sweep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from dae.report.sweep_page import importance
from dae.report.write import write_sweep_report
from dae.sweeps.order import ask
from dae.text import format_figure
from helpers import SMOKE, Page, add_job, begin_job, write_multirun, write_run_info
from outcome import Train

ARMS = ("none", "plain", "denoising")


def page_of(folder: Path) -> Page:
    page = Page(write_sweep_report(folder).parent)
    page.assert_well_formed({each for each in page.references if each.endswith("/report.html")})
    return page


def add_grid(sweep: Path) -> None:
    for p, values in {"0.1": (0.80, 0.90), "0.4": (0.70, 0.74)}.items():
        for seed, value in enumerate(values):
            add_job(
                sweep, f"dae.noise.p={p}", f"seed={seed}", value=value, classifier__test__accuracy=value - 0.1
            )


def add_study(sweep: Path, *others: str, signs: tuple[str, ...] = ()) -> None:
    for other in others:
        labels = other.partition("=")[2].removesuffix("/class")
        for number, arm in enumerate(ARMS):
            for seed in range(3):
                value = 0.7 + 0.02 * number + 0.01 * seed + 0.002 * seed * number + len(other) / 1000
                words = (f"pretraining={arm}", *other.split(), f"seed={seed}")
                folder = add_job(sweep, *words, value=value, classifier__test__accuracy=value, signs=signs)
                write_run_info(
                    folder, classes=["a", "b"], labels=2 * int(labels) if labels.isdecimal() else 3000
                )
    ask(sweep, "pretraining", {"pretraining": [*ARMS]})


def test_the_leaderboard_and_the_spread_over_seeds(tmp_path):
    add_grid(tmp_path)
    write_multirun(tmp_path, ["dae.noise.p=0.1,0.4", "seed=0,1"])
    page = page_of(tmp_path)
    assert "1 0.1 2 0 0.8500 0.0707 0.7500" in page.text
    assert "2 0.4 2 0 0.7200 0.0283 0.6200" in page.text
    assert [*page.charts] == ["classifier/val/accuracy: p=0.1: 0.8500; p=0.4: 0.7200"]
    assert "python train.py dae.noise.p=0.1 seed=1" in page.text
    assert "hydra.sweep.dir=" in page.text


def test_the_answer_comes_first_and_large(tmp_path):
    add_study(tmp_path, "data.labels=10/class", "data.labels=100/class")
    page = page_of(tmp_path)
    (answer,) = (each for each in page.all("p") if str(each.get("class")).startswith("answer"))
    assert answer["class"] == "answer helps"
    words = [
        "Does pretraining help? denoising against none",
        "Yes, it helps: +4.4 points.",
        "classifier/test/accuracy: 95 % interval",
        "3 seeds, one test set.",
        "p-value (Holm)",
        "Leaderboard by classifier/val/accuracy",
    ]
    places = [page.text.index(text) for text in words]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "others",
    [
        ["data.labels=10/class", "data.labels=1000/class"],
        ["classifier=linear data.labels=10/class", "classifier=mlp data.labels=10/class"],
        ["classifier=linear", "classifier=finetune"],
        [""],
    ],
)
def test_the_figure_shows_each_arm_at_each_place(tmp_path, others):
    add_study(tmp_path, *others)
    (told, svg), *_ = page_of(tmp_path).charts.items()
    assert told.count("denoising 0.7") == len(others)
    assert all(f">{arm}<" in svg for arm in ARMS)
    assert ">classifier/test/accuracy<" in svg, "a name on the y axis"


def test_that_no_classifier_beats_one_class_comes_before_any_difference(tmp_path):
    add_study(tmp_path, "", signs=("classifier/majority_class",))
    page = page_of(tmp_path)
    assert '"answer doubtful"' in page.source
    chance = page.text.index("No classifier is better than always to say the most frequent class")
    assert chance < page.text.index("Yes, it helps:")


def test_each_arm_shows_what_its_own_stage_1_reconstructs(tmp_path):
    add_study(tmp_path, "")
    for folder in tmp_path.glob("pretraining-[pd]*seed-0*"):
        (folder / "dae").mkdir()
        Image.new("L", (8, 8)).save(folder / "dae" / "reconstructions.png")
    told = [str(each["alt"]) for each in page_of(tmp_path).all("img")][1:]
    assert told == ["pretraining=plain, seed 0", "pretraining=denoising, seed 0"]


def test_failed_running_and_broken_jobs(tmp_path):
    add_job(tmp_path, "dae.noise.p=0.1", value=0.8)
    failed = add_job(tmp_path, "dae.noise.p=7", status="failed", error="refused: <b>7</b>")
    begin_job(tmp_path, "dae.noise.p=0.3")
    page = page_of(tmp_path)
    assert f"{failed.name} 7 0 failed: refused: <b>7</b>" in page.text
    assert not page.all("b")
    assert "3 jobs: 1 completed, 1 failed, 1 running" in page.text


@pytest.mark.parametrize("jobs", [0, 1])
def test_a_sweep_in_which_nothing_was_measured(tmp_path, jobs):
    for seed in range(jobs):
        add_job(tmp_path, f"seed={seed}", status="failed", objective=(None, None), error="no data")
    ask(tmp_path, "seed", {})
    page = page_of(tmp_path)
    assert "no job has been measured yet" in page.text
    assert not page.all("img")


def test_a_search_says_what_mattered(tmp_path):
    assert importance(tmp_path) is None
    add_grid(tmp_path)
    (tmp_path / "search.md").write_text(
        "# Search\n\nImportance: `dae.noise.p` 0.75, `lr` 0.25 (PED-ANOVA).\n"
    )
    assert "Importance: dae.noise.p 0.75, lr 0.25 (PED-ANOVA)." in page_of(tmp_path).text


def test_a_real_sweep_has_its_page_and_its_jobs_theirs(train: Train):
    done = train("-m", "dae.noise.p=0.1,0.3", "compare=dae.noise.p", *SMOKE)
    assert done.exit_code == 0
    page = Page(done.folders[0].parent)
    page.assert_well_formed(leads_to={f"{folder.name}/report.html" for folder in done.folders})
    results = [json.loads((folder / "result.json").read_text()) for folder in done.folders]
    assert format_figure(max(result["objective"]["value"] for result in results)) in page.text
    assert "Does dae.noise.p=0.3 help?" in page.text
