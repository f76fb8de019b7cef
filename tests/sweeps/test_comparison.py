"""Sweeps made by hand whose differences are known, held against SciPy."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import pytest
from scipy import stats

from dae.sweeps.answer import answer_lines, notes, sentence, worth
from dae.sweeps.comparison import Comparison, holm
from dae.sweeps.leaderboard import console_text, read_sweep, write_leaderboard
from dae.sweeps.order import ask, read_order
from helpers import add_job, write_multirun, write_run_info

CLEAR = (0.030, 0.035, 0.025)
UNCLEAR = (0.03, -0.02, 0.01)
ACCURACY = ("classifier/val/accuracy", "max")
LOSS = ("classifier/val/loss", "min")
TWO = "pretraining=none,denoising"


def add_arm(
    sweep: Path, arm: str, tests: Sequence[float], *others: str, objective=ACCURACY, signs=()
) -> list[Path]:
    """A job a seed; validation says what the test set says, and a second metric tells all runs apart."""
    tested = objective[0].replace("/val/", "__test__").replace("/", "__")
    found = []
    for seed, test in enumerate(tests):
        more = {tested: test, "classifier__test__other": crc32(f"{arm}{others}{seed}".encode())}
        values = (f"pretraining={arm}", *others, f"seed={seed}")
        found.append(add_job(sweep, *values, value=test, objective=objective, signs=signs, **more))  # type: ignore[arg-type]
    return found


def add_pair(sweep: Path, differences: Sequence[float], *others: str, objective=ACCURACY) -> None:
    base = [0.8 + seed / 100 for seed in range(len(differences))]
    add_arm(sweep, "none", base, *others, objective=objective)
    own = [theirs + difference for theirs, difference in zip(base, differences, strict=True)]
    add_arm(sweep, "denoising", own, *others, objective=objective)


def compared(sweep: Path, *swept: str, key: str = "pretraining") -> Comparison:
    if swept:
        write_multirun(sweep, swept)
    ask(sweep, key)
    _, found = read_sweep(sweep)
    assert found is not None
    return found


def simple(sweep: Path, differences: Sequence[float], objective=ACCURACY) -> Comparison:
    add_pair(sweep, differences, objective=objective)
    return compared(sweep, TWO, f"seed={','.join(map(str, range(len(differences))))}")


def table(sweep: Path) -> list[dict[str, str]]:
    write_leaderboard(sweep)
    with (sweep / "comparison.csv").open() as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize(
    ("differences", "objective", "word", "words"),
    [
        (
            CLEAR,
            ACCURACY,
            "helps",
            "denoising against none: yes, it helps: +3.0 points of classifier/test/accuracy",
        ),
        (
            [-each for each in CLEAR],
            ACCURACY,
            "hurts",
            "no, it hurts: -3.0 points of classifier/test/accuracy (95 %",
        ),
        (
            UNCLEAR,
            ACCURACY,
            "none",
            "no difference that 3 seeds can show: +0.7 points of classifier/test/accuracy",
        ),
        (CLEAR, LOSS, "hurts", "no, it hurts: +0.0300 of classifier/test/loss (95 % interval"),
        ([-each for each in CLEAR], LOSS, "helps", "yes, it helps: -0.0300 of classifier/test/loss"),
        (CLEAR[:1], ACCURACY, "open", "no verdict (it needs 3 seeds, found 1): +3.0 points"),
        ((0.02, 0.02, 0.02), ACCURACY, "open", "no verdict (all differences are equal): +2.0 points"),
    ],
)
def test_verdicts_and_their_sentences(tmp_path, differences, objective, word, words):
    found = simple(tmp_path, differences, objective)
    assert found.primary.verdict == word
    assert sentence(found).startswith("Does pretraining help? denoising against none: ")
    assert words in sentence(found)
    assert ("lower is better" in sentence(found)) == (objective == LOSS)
    (row,) = table(tmp_path)
    assert (word == "open") == ((row["low"], row["high"], row["p"]) == ("", "", ""))


def test_an_unclear_difference_says_what_could_have_been_shown(tmp_path):
    found = simple(tmp_path, UNCLEAR)
    low, high = stats.ttest_1samp(UNCLEAR, 0).confidence_interval(0.95)
    assert f"the smallest that they could have shown is {50 * (high - low):.1f} points" in sentence(found)
    assert f"95 % interval {100 * low:+.1f} to {100 * high:+.1f}, 3 seeds, one test set" in sentence(found)


def test_every_row_is_what_scipy_makes_of_jobs_csv(tmp_path):
    labels = ("10/class", "100/class", "null")
    differences = iter([(0.05, 0.06, 0.02, 0.04), (0, 0.02, -0.01, 0.01), (0.01, 0.02, 0.03, 0.05)] * 2)
    for classifier in ("notebook", "linear"):
        for label in labels:
            add_pair(tmp_path, next(differences), f"classifier={classifier}", f"data.labels={label}")
            add_arm(
                tmp_path, "plain", [0.81, 0.84, 0.8, 0.82], f"classifier={classifier}", f"data.labels={label}"
            )
    swept = (
        "pretraining=none,plain,denoising",
        "data.labels=10/class,100/class,null",
        "classifier=linear,notebook",
    )
    compared(tmp_path, *swept, "seed=0,1,2,3")
    found = table(tmp_path)
    with (tmp_path / "jobs.csv").open() as lines:
        jobs = list(csv.DictReader(lines))

    def mean_differences(row: dict[str, str]) -> list[float]:
        by_seed: dict[str, dict[str, list[float]]] = {}
        for job in jobs:
            if all(row[key] in (job[key], "all") for key in ("classifier", "data.labels")):
                arms = by_seed.setdefault(job["seed"], {})
                arms.setdefault(job["pretraining"], []).append(float(job["classifier/test/accuracy"]))
        arm = row["pretraining"]
        return [
            sum(arms[arm]) / len(arms[arm]) - sum(arms["none"]) / len(arms["none"])
            for arms in by_seed.values()
        ]

    assert len(found) == 1 + 2 + 12
    for row in found:
        expected = stats.ttest_1samp(mean_differences(row), 0)
        told = [float(row[name]) for name in ("low", "high", "p")]
        assert told == pytest.approx([*expected.confidence_interval(0.95), expected.pvalue])
        assert float(row["mean"]) - float(row["baseline_mean"]) == pytest.approx(float(row["difference"]))
        assert (row["n"], row["metric"], row["baseline"]) == ("4", "classifier/test/accuracy", "none")
    primary, *protocols = [row for row in found if row["data.labels"] == "all"]
    assert (primary["classifier"], primary["p_adjusted"]) == ("all", "")
    assert [row["classifier"] for row in protocols] == ["linear", "notebook"], "as the command gives them"
    for kind in (protocols, found[3:]):
        adjusted = stats.false_discovery_control([float(row["p"]) for row in kind])  # smaller than Holm's
        told = [float(row["p_adjusted"]) for row in kind]
        assert all(holm >= fdr - 1e-12 for holm, fdr in zip(told, adjusted, strict=True))
        assert min(told) == pytest.approx(min(1.0, len(kind) * min(float(row["p"]) for row in kind)))


def test_holm_by_hand(tmp_path):
    rows = simple(tmp_path, CLEAR).primary
    given = [0.01, 0.04, 0.03]
    from dataclasses import replace

    assert [row.p_adjusted for row in holm([replace(rows, p=p) for p in given])] == pytest.approx(
        [0.03, 0.06, 0.06]
    )


def test_without_other_keys_each_arm_stands_there_once(tmp_path):
    add_pair(tmp_path, CLEAR)
    add_arm(tmp_path, "plain", [0.81, 0.80, 0.84])
    found = compared(tmp_path, "pretraining=none,plain,denoising", "seed=0,1,2")
    assert [row["pretraining"] for row in table(tmp_path)] == ["denoising", "plain"]
    assert found.rows[0].p == found.rows[0].p_adjusted, "alone of its kind"


def test_the_answer_of_each_classifier_stands_under_that_of_all(tmp_path):
    for classifier, differences in {"linear": (0.07, 0.08, 0.06), "finetune": UNCLEAR}.items():
        for labels in (10, 100):
            more = [each + labels / 10000 for each in differences]
            add_pair(tmp_path, more, f"classifier={classifier}", f"data.labels={labels}")
    found = compared(tmp_path, TWO, "classifier=linear,finetune", "data.labels=10,100", "seed=0,1,2")
    linear, finetune = answer_lines(found)
    assert linear.startswith("linear: yes, it helps: +7.5 points (")
    assert finetune.startswith("finetune: no difference that 3 seeds can show: +1.2 points (")
    write_leaderboard(tmp_path)
    assert linear in (tmp_path / "leaderboard.md").read_text()


def test_the_last_arm_is_also_held_to_the_one_between(tmp_path):
    for arm, gains in (("none", (-0.1, -0.1, -0.1)), ("plain", (0, 0, 0)), ("denoising", CLEAR)):
        add_arm(tmp_path, arm, [0.8 + seed / 100 + gain for seed, gain in enumerate(gains)])
    found = compared(tmp_path, "pretraining=none,plain,denoising", "seed=0,1,2")
    assert [*answer_lines(found)] == [
        "denoising against plain: yes, it helps: +3.0 points (+1.8 to +4.2)",
        "plain against none: no verdict (all differences are equal): +10.0 points",
    ]


def test_what_a_label_is_worth_is_read_off_the_curve_of_the_baseline(tmp_path):
    """With 10, 100 and 1,000 labels a class the baseline rises by 0.1 a decade; the arm is 0.05 above it."""
    for label, base in (("10/class", 0.6), ("100/class", 0.7), ("1000/class", 0.8)):
        noise = (0.0, 0.001, -0.001)
        folders = add_arm(tmp_path, "none", [base + each for each in noise], f"data.labels={label}")
        folders += add_arm(
            tmp_path, "denoising", [base + 0.05, base + 0.06, base + 0.04], f"data.labels={label}"
        )
        for folder in folders:
            write_run_info(folder, labels=10 * int(label.split("/")[0]), classes=list("0123456789"))
    found = compared(tmp_path, TWO, "data.labels=10/class,100/class,1000/class", "seed=0,1,2")
    first, second, last = (row.labels_worth for row in found.rows)
    assert first == pytest.approx((10**1.5, 10 * 10**0.41, 10 * 10**0.59))
    assert second == pytest.approx((10**2.5, 100 * 10**0.41, 100 * 10**0.59))
    assert last is None, "outside of the curve"
    assert (
        next(worth(found))
        == "with 10 labels a class, denoising is as good as none with 31.6 (seeds: 25.7 to 38.9)"
    )
    assert [row["labels_worth"] and round(float(row["labels_worth"])) for row in table(tmp_path)] == [
        "",
        32,
        316,
        "",
    ]
    assert math.isclose(10**1.5, 31.6, abs_tol=0.1)


def test_the_baseline_and_the_answer_stay_what_they_were_when_first_asked(tmp_path):
    for number, arm in enumerate(("none", "plain", "denoising")):
        add_arm(tmp_path, arm, [0.8 + number / 100 + seed**2 / 1000 * number for seed in range(3)])
    assert compared(tmp_path, "pretraining=plain,denoising", "seed=0,1,2").arms == (
        "plain",
        "none",
        "denoising",
    )
    assert compared(tmp_path, "pretraining=none").arms == ("plain", "none", "denoising"), (
        "whatever it is extended by"
    )
    assert sentence(compared(tmp_path)).startswith(
        "Does pretraining=denoising help? denoising against plain: "
    )
    assert read_order(tmp_path) == ask(tmp_path, "pretraining")


def test_failed_and_otherwise_judged_jobs_are_no_pairs(tmp_path):
    simple(tmp_path, (*CLEAR, 0.02))
    folder = next(folder for folder in tmp_path.iterdir() if "denoising_seed-3" in folder.name)
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**result, "status": "failed"}))
    assert compared(tmp_path).primary.n == 3


def test_arms_that_come_to_the_same_run_are_named_and_not_compared(tmp_path):
    add_pair(tmp_path, CLEAR, "classifier=notebook")
    for arm in ("none", "denoising"):
        for seed in range(3):
            words = (f"pretraining={arm}", "classifier=mlp", f"seed={seed}")
            add_job(tmp_path, *words, value=0.7 + seed / 10, classifier__test__accuracy=0.7 + seed / 10)
    found = compared(tmp_path, TWO, "classifier=notebook,mlp", "seed=0,1,2")
    assert [row.others for row in found.rows] == [("notebook",)]
    assert found.primary.difference == pytest.approx(0.03), "not thinned by zeros"
    assert "denoising came to the same runs as none where classifier=mlp: not compared" in list(notes(found))


def test_where_no_arm_is_better_than_one_class_that_is_said_first(tmp_path):
    for arm, shift in (("none", 0.0), ("denoising", 0.01)):
        tests = [0.1 + shift + seed**2 / 100 for seed in range(3)]
        add_arm(tmp_path, arm, tests, signs=["classifier/majority_class"])
    found = compared(tmp_path, TWO)
    assert "denoising against none: no classifier is better than always to say the most" in sentence(found)
    assert "+1.0 points" in sentence(found)


def test_the_answer_stands_above_the_leaderboard_and_names_the_test_set(tmp_path):
    add_pair(tmp_path, CLEAR)
    stage = next(tmp_path.glob("*none*")) / "classifier"
    stage.mkdir()
    (stage / "test.json").write_text('{"images": 360}')
    compared(tmp_path, TWO, "seed=0,1,2")
    first, *lines = console_text(*read_sweep(tmp_path)).splitlines()
    assert first.startswith("Does pretraining help? denoising against none: yes, it helps: +3.0 points")
    assert first.endswith("3 seeds, one test set of 360 images).")
    assert any(line.startswith("Leaderboard by") for line in lines)
    write_leaderboard(tmp_path)
    page = (tmp_path / "leaderboard.md").read_text()
    assert page.index("denoising against none: yes, it helps: +3.0 points") < page.index("Leaderboard by")


def test_what_no_test_measures_is_compared_on_validation_and_says_so(tmp_path):
    for arm, base in (("none", 0.7), ("denoising", 0.8)):
        for seed in range(3):
            value = base + seed**2 / 100 * (arm == "none")
            objective = ("dae/val/probe_accuracy", "max")
            add_job(tmp_path, f"pretraining={arm}", f"seed={seed}", value=value, objective=objective)
    found = compared(tmp_path, TWO, "seed=0,1,2")
    assert "points of dae/val/probe_accuracy (95 % interval" in sentence(found)
    assert "one validation set" in sentence(found)
    assert any("validation, which checkpoints are chosen by, flatters" in words for words in notes(found))
