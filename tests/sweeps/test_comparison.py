"""Sweeps made by hand whose differences are known, held against SciPy."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from scipy import stats

from dae.sweeps.arms import compare_arms
from dae.sweeps.comparison import Comparison
from dae.sweeps.comparison_answer import sentence
from dae.sweeps.comparison_text import cautions, notes, verdict
from dae.sweeps.leaderboard import read_board, rebuild_leaderboard
from dae.sweeps.leaderboard_text import console_text
from helpers import add_job, write_multirun

ARMS = ("none", "plain", "denoising")
CLEAR = (0.030, 0.035, 0.025)
UNCLEAR = (0.03, -0.02, 0.01)
LOSS = ("classifier/val/loss", "min")


def add_arm(
    sweep: Path, arm: str, tests: Sequence[float], *others: str, objective=("classifier/val/accuracy", "max")
) -> list[Path]:
    """A job a seed; validation says what the test set says, and a second metric tells all runs apart."""
    tested = objective[0].replace("/val/", "__test__").replace("/", "__")
    found = []
    for seed, test in enumerate(tests):
        told_apart: dict[str, Any] = {
            tested: test,
            "classifier__test__other": crc32(f"{arm}{others}{seed}".encode()),
        }
        values = (f"pretraining={arm}", *others, f"seed={seed}")
        found.append(add_job(sweep, *values, value=test, objective=objective, **told_apart))
    return found


def add_pair(
    sweep: Path, differences: Sequence[float], *others: str, objective=("classifier/val/accuracy", "max")
):
    base = [0.8 + seed / 100 for seed in range(len(differences))]
    add_arm(sweep, "none", base, *others, objective=objective)
    own = [theirs + difference for theirs, difference in zip(base, differences, strict=True)]
    add_arm(sweep, "denoising", own, *others, objective=objective)


def command(sweep: Path, *swept: str, compare: str = "pretraining") -> None:
    write_multirun(sweep, [f"compare={compare}", *swept])


def compared(sweep: Path) -> Comparison:
    found = compare_arms(read_board(sweep, "pretraining"))
    assert found is not None
    return found


def table(sweep: Path) -> list[dict[str, str]]:
    rebuild_leaderboard(sweep)
    with (sweep / "comparison.csv").open() as lines:
        return list(csv.DictReader(lines))


def simple(
    sweep: Path, differences: Sequence[float], objective=("classifier/val/accuracy", "max")
) -> Comparison:
    add_pair(sweep, differences, objective=objective)
    command(sweep, "pretraining=none,denoising", f"seed={','.join(map(str, range(len(differences))))}")
    return compared(sweep)


@pytest.mark.parametrize(
    ("differences", "objective", "word", "words"),
    [
        (
            CLEAR,
            ("classifier/val/accuracy", "max"),
            "helps",
            "denoising against none: yes, it helps: +3.0 points of",
        ),
        (
            [-each for each in CLEAR],
            ("classifier/val/accuracy", "max"),
            "hurts",
            "denoising against none: no, it hurts: -3.0 points of classifier/test/accuracy (95 %",
        ),
        (
            UNCLEAR,
            ("classifier/val/accuracy", "max"),
            "none",
            "no difference that 3 seeds can show: +0.7 points of classifier/test/accuracy",
        ),
        (CLEAR, LOSS, "hurts", "no, it hurts: +0.0300 of classifier/test/loss (95 % interval"),
        ([-each for each in CLEAR], LOSS, "helps", "yes, it helps: -0.0300 of classifier/test/loss"),
        (CLEAR[:1], ("classifier/val/accuracy", "max"), "open", "1 seed is too few, a verdict needs 3"),
        (
            CLEAR[:2],
            ("classifier/val/accuracy", "max"),
            "open",
            " points of classifier/test/accuracy, but no verdict (2",
        ),
        ((0.02, 0.02, 0.02), ("classifier/val/accuracy", "max"), "open", "all 3 differences are equal"),
        ((0.0, 0.0, 0.0), ("classifier/val/accuracy", "max"), "open", "all 3 differences are equal"),
    ],
)
def test_verdicts_and_their_sentences(tmp_path, differences, objective, word, words):
    found = simple(tmp_path, differences, objective)
    assert found.primary.verdict == word
    assert sentence(found).startswith("Does pretraining help? denoising against none: ")
    assert words in sentence(found)
    assert ("lower is better" in sentence(found)) == (objective == LOSS)
    if word == "open":
        (row,) = table(tmp_path)
        assert (row["low"], row["high"], row["p"]) == ("", "", "")
        assert row["verdict"].startswith("no verdict: ")


def test_an_unclear_difference_says_what_could_have_been_shown(tmp_path):
    found = simple(tmp_path, UNCLEAR)
    low, high = stats.ttest_1samp(UNCLEAR, 0).confidence_interval(0.95)
    half = 100 * (high - low) / 2
    assert f"the smallest that they could have shown is {half:.1f} points" in sentence(found)
    assert f"95 % interval {100 * low:+.1f} to {100 * high:+.1f}, 3 seeds, one test set" in sentence(found)


def test_the_one_comparison_is_over_the_mean_differences_of_the_seeds(tmp_path):
    per_labels = {"10/class": (0.05, 0.06, 0.02, 0.04), "null": (0.00, 0.02, -0.01, 0.01)}
    for labels, differences in per_labels.items():
        add_pair(tmp_path, differences, f"data.labels={labels}")
    command(tmp_path, "pretraining=none,denoising", "data.labels=10/class,null", "seed=0,1,2,3")
    first, *rows = table(tmp_path)
    assert ",".join(first) == (
        "data.labels,pretraining,baseline,metric,mean,baseline_mean,difference,low,high,n,p,p_adjusted,verdict"
    )
    means = [sum(pair) / 2 for pair in zip(*per_labels.values(), strict=True)]
    expected = stats.ttest_1samp(means, 0)
    assert [
        first[name] for name in ("data.labels", "pretraining", "baseline", "n", "p_adjusted", "verdict")
    ] == [
        "all",
        "denoising",
        "none",
        "4",
        "",
        "helps",
    ]
    assert first["metric"] == "classifier/test/accuracy"
    interval = expected.confidence_interval(0.95)
    assert [float(first[name]) for name in ("difference", "low", "high", "p")] == pytest.approx(
        [sum(means) / 4, *interval, expected.pvalue]
    )
    assert float(first["mean"]) - float(first["baseline_mean"]) == pytest.approx(sum(means) / 4)
    assert [row["data.labels"] for row in rows] == ["10/class", "null"], "in the order of the command"
    p_values = [stats.ttest_1samp(differences, 0).pvalue for differences in per_labels.values()]
    assert [float(row["p"]) for row in rows] == pytest.approx(p_values)
    assert float(rows[0]["p_adjusted"]) == pytest.approx(2 * p_values[0])
    assert float(rows[1]["p_adjusted"]) == pytest.approx(max(2 * p_values[0], p_values[1]))


def test_a_row_that_holds_alone_and_not_among_all(tmp_path):
    for lr in range(4):
        add_pair(tmp_path, UNCLEAR if lr else (0.03, 0.022, 0.042), f"lr={lr}")
    command(tmp_path, "pretraining=none,denoising", "lr=0,1,2,3", "seed=0,1,2")
    found = compared(tmp_path)
    p = found.rows[0].test.p
    assert p is not None
    assert 0.0125 < p < 0.05
    assert [row.verdict for row in found.rows] == ["alone", "none", "none", "none"]
    assert verdict(found, found.rows[0]) == "helps on its own, not among 4 comparisons"


def test_the_arms_keep_the_order_of_the_command(tmp_path):
    for number, arm in enumerate(ARMS):
        add_arm(tmp_path, arm, [0.8 + number / 100 + seed**2 / 1000 * number for seed in range(3)])
    command(tmp_path, "pretraining=plain,none,denoising", "seed=0,1,2")
    assert compared(tmp_path).arms == ("plain", "none", "denoising")
    assert sentence(compared(tmp_path)).startswith(
        "Does pretraining=denoising help? denoising against plain: "
    )
    command(tmp_path, "pretraining=denoising,none", "seed=0,1,2")
    assert compared(tmp_path).arms == ("denoising", "plain", "none"), (
        "an earlier arm is neither first nor last"
    )
    (tmp_path / "multirun.yaml").unlink()
    assert compared(tmp_path).arms == ("denoising", "none", "plain")


def test_a_seed_that_lacks_a_combination_does_not_count_in_the_whole(tmp_path):
    for labels in ("10", "100"):
        add_pair(tmp_path, (0.03, 0.035, 0.025, 0.15), f"data.labels={labels}")
    (lost,) = tmp_path.glob("labels-100_pretraining-denoising_seed-3*")
    (lost / "result.json").unlink()
    command(tmp_path, "pretraining=none,denoising", "data.labels=10,100", "seed=0,1,2,3")
    found = compared(tmp_path)
    assert found.complete_seeds == ["0", "1", "2"]
    assert found.primary.test.difference == pytest.approx(0.03)
    assert [row.test.n for row in found.rows] == [4, 3]
    told = list(notes(found))
    assert "without a figure: denoising with data.labels=100 (seed 3)" in told
    assert any(words.startswith("seed 3 lacks some combinations, and does not count") for words in told)


def test_what_has_not_begun_is_missing_and_not_forgotten(tmp_path):
    add_arm(tmp_path, "none", [0.8, 0.81])
    command(tmp_path, "pretraining=none,denoising", "seed=0,1,2")
    found = compared(tmp_path)
    assert found.missing == {((), "none"): ["2"], ((), "denoising"): ["0", "1", "2"]}
    assert "not known yet (no seed has been measured with denoising and none" in sentence(found)
    assert table(tmp_path)[0]["verdict"] == "not known yet"


def test_failed_and_otherwise_judged_jobs_are_no_pairs(tmp_path):
    simple(tmp_path, (*CLEAR, 0.02))
    folder = next(folder for folder in tmp_path.iterdir() if "denoising_seed-3" in folder.name)
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**result, "status": "failed"}))
    assert compared(tmp_path).primary.test.n == 3


def test_arms_that_come_to_the_same_run_are_named_and_not_compared(tmp_path):
    add_pair(tmp_path, CLEAR, "classifier=notebook")
    for arm in ("none", "denoising"):
        for seed in range(3):
            add_job(
                tmp_path,
                f"pretraining={arm}",
                "classifier=mlp",
                f"seed={seed}",
                value=0.7 + seed / 10,
                classifier__test__accuracy=0.7 + seed / 10,
            )
    command(tmp_path, "pretraining=none,denoising", "classifier=notebook,mlp", "seed=0,1,2")
    found = compared(tmp_path)
    assert [row.others for row in found.rows] == [("notebook",)]
    assert found.primary.test.difference == pytest.approx(0.03), "not thinned by zeros"
    assert "denoising came to the same runs as none where classifier=mlp: not compared" in list(notes(found))


def test_a_key_that_changes_nothing_is_no_second_comparison(tmp_path):
    """Plain under two noises is one run."""
    for arm, test in (("none", 0.8), ("plain", 0.9)):
        for p in ("0.1", "0.4"):
            for seed in range(3):
                value = test + seed**2 / 100 * (arm == "plain")
                add_job(
                    tmp_path,
                    f"pretraining={arm}",
                    f"dae.noise.p={p}",
                    f"seed={seed}",
                    value=value,
                    classifier__test__accuracy=value,
                )
    command(tmp_path, "pretraining=none,plain", "dae.noise.p=0.1,0.4", "seed=0,1,2")
    found = compared(tmp_path)
    assert [row.others for row in found.rows] == [("0.1",)]
    words = "plain came to the same runs as plain with dae.noise.p=0.1 where dae.noise.p=0.4: not compared"
    assert words in list(notes(found))


def test_if_all_arms_are_the_same_run_nothing_is_compared(tmp_path):
    for arm in ("none", "denoising"):
        for seed in range(3):
            value = 0.7 + seed / 10
            add_job(
                tmp_path, f"pretraining={arm}", f"seed={seed}", value=value, classifier__test__accuracy=value
            )
    command(tmp_path, "pretraining=none,denoising", "seed=0,1,2")
    assert "denoising and none came to the same runs" in sentence(compared(tmp_path))


def test_test_and_validation_that_disagree_are_a_caution(tmp_path):
    simple(tmp_path, CLEAR)
    assert not list(cautions(compared(tmp_path)))
    for folder in tmp_path.glob("*denoising*"):
        result = json.loads((folder / "result.json").read_text())
        result["metrics"]["classifier/val/accuracy"] = 0.1
        (folder / "result.json").write_text(json.dumps(result))
    (words,) = cautions(compared(tmp_path))
    assert words.startswith("by the mean denoising is ahead of none on the test set, and behind it on")


def test_arms_on_different_images_are_a_caution(tmp_path):
    for data in ("mnist", "digits"):
        add_pair(tmp_path, CLEAR, f"data={data}")
    command(tmp_path, "pretraining=none,denoising", "data=mnist,digits", "seed=0,1,2")
    assert "the values of data are measured on different images" in next(cautions(compared(tmp_path)))


def test_signs_that_little_was_learned_are_told_of_their_arm(tmp_path):
    simple(tmp_path, CLEAR)
    folder = next(tmp_path.glob("*denoising*"))
    result = json.loads((folder / "result.json").read_text())
    sign = {"stage": "dae", "name": "few_steps", "text": "few", "value": 2, "limit": 300}
    (folder / "result.json").write_text(json.dumps({**result, "signs": [sign]}))
    words = "denoising: 1 of 3 jobs shows signs that little was learned: dae: few optimizer steps"
    assert f"Note: {words}" in console_text(rebuild_leaderboard(tmp_path))
    assert words in (tmp_path / "leaderboard.md").read_text()


def test_the_answer_stands_above_the_leaderboard_and_names_the_test_set(tmp_path):
    simple(tmp_path, CLEAR)
    stage = next(tmp_path.glob("*none*")) / "classifier"
    stage.mkdir()
    (stage / "test.json").write_text('{"images": 360}')
    board = rebuild_leaderboard(tmp_path)
    first, *lines = console_text(board).splitlines()
    assert first.startswith("Does pretraining help? denoising against none: yes, it helps: +3.0 points")
    assert first.endswith("3 seeds, one test set of 360 images).")
    assert any(line.startswith("Leaderboard by") for line in lines)
    page = (tmp_path / "leaderboard.md").read_text()
    assert page.index("**Denoising against none: yes, it helps: +3.0 points") < page.index("Leaderboard by")
    # What was measured of fewer images than there are.
    (stage / "test.json").write_text('{"images": 360, "accuracy": [1, 0, 1]}')
    assert "one test set of 3 images)." in console_text(rebuild_leaderboard(tmp_path))


def test_what_was_compared_once_stays_compared(tmp_path):
    simple(tmp_path, CLEAR)
    write_multirun(tmp_path, ["pretraining=none,denoising", "seed=0,1,2"])
    rebuild_leaderboard(tmp_path)
    assert not (tmp_path / "comparison.csv").exists()
    rebuild_leaderboard(tmp_path, "pretraining")
    assert read_board(tmp_path).compare == "pretraining"


def test_small_differences_have_two_digits(tmp_path):
    assert "+0.15 points" in sentence(simple(tmp_path, (0.0010, 0.0015, 0.0020)))


def test_what_no_test_measures_is_compared_on_validation_and_says_so(tmp_path):
    for arm, base in (("none", 0.7), ("denoising", 0.8)):
        for seed in range(3):
            objective = ("dae/val/probe_accuracy", "max")
            value = base + seed**2 / 100 * (arm == "none")
            add_job(tmp_path, f"pretraining={arm}", f"seed={seed}", value=value, objective=objective)
    command(tmp_path, "pretraining=none,denoising", "seed=0,1,2")
    found = compared(tmp_path)
    assert "points of dae/val/probe_accuracy (95 % interval" in sentence(found)
    assert "one validation set" in sentence(found)
    assert any("validation, which checkpoints are chosen by, flatters" in words for words in notes(found))
    assert not list(cautions(found))
