"""Sweep folders made by hand, and a real sweep."""

from __future__ import annotations

import json
import re

import pytest

from dae.report.sweep_page import importance, sweep_page
from dae.report.write import write_sweep_report
from dae.text import format_figure
from helpers import LOSS, SMOKE, Page, add_job, begin_job, markers, write_multirun, write_run_info
from outcome import Train


def page_of(folder) -> Page:
    return Page(write_sweep_report(folder).parent)


def rows(page: Page) -> list[list[str]]:
    """The cells of the leaderboard."""
    table = page.source.split("<tbody>")[1].split("</tbody>")[0]
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in table.split("</tr>")]
    return [[re.sub(r"<[^>]*>|\s", "", cell) for cell in row] for row in cells if row]


def add_grid(sweep) -> None:
    for p, values in {"0.1": (0.80, 0.90), "0.4": (0.70, 0.74)}.items():
        for seed, value in enumerate(values):
            add_job(
                sweep, f"dae.noise.p={p}", f"seed={seed}", value=value, classifier__test__accuracy=value - 0.1
            )


def test_the_leaderboard_and_the_spread_over_seeds(tmp_path):
    add_grid(tmp_path)
    write_multirun(tmp_path, ["dae.noise.p=0.1,0.4", "seed=0,1"])
    page = page_of(tmp_path)
    page.assert_well_formed()
    assert rows(page) == [
        ["1", "0.1", "0.8500", "0.0707", "0.7500", "2", "0"],
        ["2", "0.4", "0.7200", "0.0283", "0.6200", "2", "0"],
    ]
    (key,) = page.all("svg")
    assert "Mean of classifier/val/accuracy: 0.8500 at 0.1, 0.7200 at 0.4" in str(key["aria-label"])
    assert "classifier/val/accuracy against dae.noise.p" in page.text
    assert "Mean and spread over seeds" not in page.text, "it would be the same dots once more"
    assert "python train.py dae.noise.p=0.1 seed=1" in page.text
    assert "-m dae.noise.p=0.1 seed=0,1" in page.text


def test_one_swept_key_has_one_chart(tmp_path):
    numbers, words, mixed = (tmp_path / name for name in ("numbers", "words", "mixed"))
    add_grid(numbers)
    for sweep in (words, mixed):
        for noise, value in (("dropout", 0.5), ("mask", 0.6)):
            add_job(sweep, f"dae/noise={noise}", value=value)
    for p in ("0.1", "0.2"):
        add_job(mixed, f"dae.noise.p={p}", "dae/noise=dropout", value=0.7)
    add_job(tmp_path, "dae.noise.p=0.1", value=0.7)
    add_job(tmp_path, "dae.noise.p=0.2", value=0.7)
    add_job(tmp_path, value=0.7)
    found = {}
    for sweep in (numbers, words, mixed, tmp_path):
        content = sweep_page(sweep)
        found[sweep.name] = (content["spread"] is not None, len(content["charts"]))
    assert found["numbers"] == (False, 1), "against the number"
    assert found["words"] == (True, 0)
    assert found["mixed"] == (True, 2), "two keys"
    assert found[tmp_path.name] == (True, 0), "a job without the number is in this chart alone"


def test_spread_has_a_row_for_each_group(tmp_path):
    add_grid(tmp_path)
    add_job(tmp_path, "dae.noise.p=0.1", "dae.epochs=3", value=0.95)
    spread = sweep_page(tmp_path)["spread"].svg
    assert len(markers(spread, "dots")) == 5
    assert len({y for _, y in markers(spread, "dots")}) == 3
    assert "p=0.1, epochs=3: 0.9500; p=0.1: 0.8500; p=0.4: 0.7200" in spread


def test_the_tables_can_be_sorted_and_are_whole_without_that(tmp_path):
    add_grid(tmp_path)
    page = page_of(tmp_path)
    assert [each.get("class") for each in page.all("table")] == ["sortable", "sortable"]
    assert not page.all("button"), "made by the script"
    (tools,) = (each for each in page.all("p") if each.get("class") == "tools")
    assert "hidden" in tools, "useless without the script"


def test_links_lead_to_the_pages_that_are_there(tmp_path):
    one = add_job(tmp_path, "seed=0", value=0.5)
    add_job(tmp_path, "seed=1", value=0.5)
    (one / "report.html").touch()
    page_of(tmp_path).assert_well_formed(leads_to={f"{one.name}/report.html"})


def test_several_numeric_keys_are_shown_together_and_words_as_rows(tmp_path):
    for lr in ("1e-4", "1e-2"):
        for p in ("0.1", "0.4"):
            for noise in ("dropout", "mask"):
                value = float(lr) + float(p)
                add_job(
                    tmp_path, f"dae.optimizer.lr={lr}", f"dae.noise.p={p}", f"dae/noise={noise}", value=value
                )
    charts = {chart.title: chart for chart in sweep_page(tmp_path)["charts"]}
    name = "classifier/val/accuracy against"
    assert list(charts) == [
        f"{name} dae.optimizer.lr",
        f"{name} dae.noise.p",
        f"{name} dae/noise",
        "All numeric keys together",
    ]
    assert charts["All numeric keys together"].svg.count('class="axis"') == 3
    assert "(logarithmic)" in charts[f"{name} dae.optimizer.lr"].svg
    assert "dropout" in charts[f"{name} dae/noise"].svg


def test_a_number_that_only_some_jobs_have_is_shown_against_those(tmp_path):
    """In a search the kind of noise decides which keys there are."""
    for number, std in enumerate(("0.1", "0.2", "0.4")):
        add_job(tmp_path, "dae/noise=gaussian", f"dae.noise.std={std}", value=0.5 + number / 10)
    add_job(tmp_path, "dae/noise=block", "dae.noise.size=4", value=0.9)
    charts = {chart.title.rpartition(" ")[2]: chart for chart in sweep_page(tmp_path)["charts"]}
    assert len(markers(charts["dae.noise.std"].svg, "dots")) == 3
    assert "0.6000 at 0.2" in charts["dae.noise.std"].svg
    assert charts["dae.noise.std"].caption.endswith("without it, and left out: 1 job.")
    assert "(not given)" in charts["dae.noise.size"].svg, "one number is no axis"


def test_a_loss_is_better_when_lower(tmp_path):
    add_job(tmp_path, "dae.noise.p=0.1", value=0.2, objective=LOSS)
    add_job(tmp_path, "dae.noise.p=0.4", value=0.1, objective=LOSS)
    page = page_of(tmp_path)
    assert [row[1] for row in rows(page)] == ["0.4", "0.1"]
    assert "lower is better" in page.text
    assert "favours little noise" in page.text, "a caution"


def test_failed_running_and_broken_jobs(tmp_path):
    add_job(tmp_path, "dae.noise.p=0.1", value=0.8)
    failed = add_job(tmp_path, "dae.noise.p=7", status="failed", error="refused: <b>7</b>")
    begin_job(tmp_path, "dae.noise.p=0.3")
    page = page_of(tmp_path)
    page.assert_well_formed()
    assert f"{failed.name} refused: <b>7</b>" in page.text
    assert not page.all("b")
    assert "3 jobs: 1 completed, 1 failed, 1 running" in page.text
    assert rows(page)[1] == ["–", "0.3", "–", "–", "0", "0"]  # noqa: RUF001


def test_jobs_with_signs_are_marked_and_counted_and_the_reasons_named_once(tmp_path):
    for seed, signs in enumerate((["dae/few_steps", "classifier/one_class"], ["dae/few_steps"], [])):
        add_job(tmp_path, f"seed={seed}", value=0.8, signs=signs)
    page = page_of(tmp_path)
    page.assert_well_formed()
    told = (
        "Caution: 2 of 3 jobs show signs that little was learned, with figures on their own pages: "
        "dae: few optimizer steps (2); classifier: one class is said for nearly all images (1)."
    )
    assert page.text.count(told) == page.text.count("few optimizer steps") == 1
    marked = [each for each in page.all("td") if each.get("class") == "doubtful"]
    assert len(marked) == 2
    assert "completed, 2 signs" in page.text
    assert "completed, 1 sign " in page.text


@pytest.mark.parametrize(("ceilings", "shown"), [((0.3, 0.4), False), ((0.3, 0.8), True), ((), True)])
def test_pixel_accuracy_is_a_column_where_it_says_something_of_any_job(tmp_path, ceilings, shown):
    for number, ceiling in enumerate(ceilings or (None, None)):
        folder = add_job(
            tmp_path,
            f"data={number}",
            value=0.2,
            objective=LOSS,
            dae__test__pixel_accuracy=0.2,
            dae__test__psnr=20,
        )
        if ceiling:
            write_run_info(folder, pixel_accuracy_ceiling=ceiling)
    page = page_of(tmp_path)
    assert ("dae/test/pixel_accuracy" in page.text) == shown
    assert ("Pixel accuracy is left out: it cannot exceed 0.4000 here" in page.text) != shown
    assert "dae/test/psnr" in page.text


@pytest.mark.parametrize("jobs", [0, 1])
def test_a_sweep_in_which_nothing_was_measured(tmp_path, jobs):
    for seed in range(jobs):
        add_job(tmp_path, f"seed={seed}", status="failed", objective=(None, None), error="no data")
    page = page_of(tmp_path)
    page.assert_well_formed()
    assert "no job has been measured yet" in page.text
    assert not page.all("svg")


def test_a_search_says_what_mattered(tmp_path):
    assert importance(tmp_path) is None
    add_grid(tmp_path)
    (tmp_path / "search.md").write_text(
        "# Search\n\nImportance: `dae.noise.p` 0.75, `lr` 0.25 (PED-ANOVA).\n"
    )
    page = page_of(tmp_path)
    assert "Importance: dae.noise.p 0.75, lr 0.25 (PED-ANOVA)." in page.text
    (tmp_path / "search.md").write_text("Importance: 3 completed trials are too few to tell (10 at least).\n")
    assert "Importance: 3 completed trials are too few to tell (10 at least)." in page_of(tmp_path).text


def test_a_thousand_jobs_stay_below_three_megabytes(tmp_path):
    for number in range(1000):
        add_job(
            tmp_path, f"dae.noise.p={number / 1000}", f"dae.optimizer.lr={number + 1}", value=number / 1000
        )
    page = page_of(tmp_path)
    page.assert_well_formed()


def test_a_real_sweep_has_its_page_and_its_jobs_theirs(train: Train):
    done = train("-m", "dae.noise.p=0.1,0.3", *SMOKE)
    sweep = done.folders[0].parent
    page = Page(sweep)
    page.assert_well_formed(leads_to={f"{folder.name}/report.html" for folder in done.folders})
    results = [json.loads((folder / "result.json").read_text()) for folder in done.folders]
    assert format_figure(max(result["objective"]["value"] for result in results)) in page.text


def test_a_stopped_sweep_with_a_failed_job_has_its_page(train: Train):
    done = train("-m", "dae.noise.p=0.1,7", *SMOKE)
    assert done.exit_code == 1
    page = Page(done.folders[0].parent)
    assert "Failed jobs" in page.text
    assert "dae.noise.p: found 7" in page.text
