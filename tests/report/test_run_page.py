"""Real runs, short ones, and their pages; folders made by hand where nothing needs to be trained."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dae.report import run_page, write
from dae.report.intervals import bootstrap_interval, wilson_interval
from dae.report.write import write_run_report
from dae.text import format_figure
from helpers import SMOKE, Page, add_job, write_run_info
from outcome import WHOLE, Train


def read(file: Path) -> dict:
    return json.loads(file.read_text())


def page_of(folder: Path) -> Page:
    page = Page(write_run_report(folder).parent)
    page.assert_well_formed({"../report.html"} & page.references)
    return page


def test_the_page_of_a_run(finished: Train):
    done = finished(*WHOLE)
    page = Page(done.folder)
    page.assert_well_formed()
    assert "What was run python train.py data=digits debug=smoke dae.noise.p=0.35 name=mine" in page.text
    run = read(done.folder / "run.json")
    for told in (run["data"], run["data_checksum"], run["device"], run["started"], run["versions"]["torch"]):
        assert told in page.text
    assert "reference_noise:" in page.text, "the whole config"
    metrics = done.result["metrics"]
    assert sorted(page.figures) == sorted(metrics.values())
    assert all(name in page.text and format_figure(value) in page.text for name, value in metrics.items())
    # How sure one can be: an interval for each test figure, and its mean is the figure.
    for name, value in metrics.items():
        stage, split, metric = name.split("/")
        if split == "test" and metric != "balanced_accuracy":  # of which the counts by class are kept
            each = read(done.folder / stage / "test.json")[metric]
            assert np.mean(each) == pytest.approx(value, abs=1e-5)
            by, (low, high) = "bootstrap", bootstrap_interval(each)
            if metric == "accuracy":
                by, (low, high) = "Wilson", wilson_interval(round(256 * value), 256)
            assert f"{format_figure(low)} to {format_figure(high)} {by}, 256 images" in page.text
    pngs = [str(image["src"]) for image in page.all("img") if "png" in str(image["src"])]
    files = [
        file
        for file in done.folder.glob("*/*.png")
        if file.parent.name + "/" + file.name in run_page.CAPTIONS
    ]
    sources = [f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}" for file in files]
    assert sorted(pngs) == sorted(sources)
    assert len(files) >= 4
    assert str(page.all("img")[0]["alt"]).startswith("Validation images"), "what stage 1 does comes first"
    assert "Only a part of the data was used: trainer.limit_train_batches=3" in page.text
    arms = "compare=pretraining pretraining=none,plain,denoising seed=0,1,2"
    assert f"python train.py -m data=digits debug=smoke dae.noise.p=0.35 name=mine {arms}" in page.text
    assert "-m data=digits debug=smoke dae.noise.p=0.35 name=mine seed=0,1,2" in page.text


def test_the_curves_of_a_run_and_the_epoch_that_counts(watched_run: Path):
    page = page_of(watched_run)
    found = {told.partition(":")[0]: told for told in page.charts}
    assert {"dae/loss", "dae/psnr", "classifier/accuracy", "classifier/loss"} <= found.keys()
    assert found["dae/loss"].startswith("dae/loss: train from ")
    assert "; val from " in found["dae/loss"]
    assert all(">epochs done<" in svg for svg in page.charts.values()), "text that stays text"
    again = Page(write_run_report(watched_run).parent)
    assert again.source == page.source, "the same bytes each time"


def test_a_page_with_signs_is_not_simply_green(tmp_path):
    for signs in (["dae/few_steps", "classifier/one_class"], []):
        folder = add_job(tmp_path, f"seed={len(signs)}", value=0.5, signs=signs)
        page = page_of(folder)
        (state,) = (each["class"] for each in page.all("span") if "status" in str(each.get("class")))
        assert state == ("status doubtful" if signs else "status completed")
        assert ("completed, but with signs that little was learned" in page.text) == bool(signs)
        assert ("dae: few_steps: 20, fewer than 300." in page.text) == bool(signs)


def test_the_page_of_the_data_alone(finished: Train):
    done = finished("stage=data", "data=digits", "data.labels=10/class", "classifier.epochs=1")
    page = Page(done.folder)
    page.assert_well_formed()
    assert "all 1,293 100 144 360" in page.text
    assert len(page.all("img")) == 1
    assert "What comes next" in page.text


def test_a_diverged_run_says_why(train: Train):
    words = ("debug=smoke", "callbacks=none", "stage=dae", "dae/optimizer=sgd", "dae.optimizer.lr=1e30")
    done = train("data=digits", *words)
    assert done.exit_code == 1
    page = Page(done.folder)
    page.assert_well_formed()
    assert "Why it failed dae diverged: its loss is nan at step" in page.text
    assert f"resume={done.folder.relative_to(done.place)}" in page.text
    assert "ERROR dae diverged" in page.text, "the end of the log"


def test_what_is_written_is_escaped(tmp_path):
    nasty = "<script>alert('&')</script><img src=https://example.org/a.png>"
    folder = add_job(tmp_path, "seed=0", status="failed", error=nasty)
    (folder / "train.log").write_text(nasty)
    (folder / "config.yaml").write_text(f'name: "{nasty}"')
    write_run_info(folder, command=nasty, git={"commit": nasty, "diff": nasty})
    page = page_of(folder)
    assert page.text.count(nasty) >= 5, "as text"
    assert not page.all("img")


def test_an_interrupted_run_and_one_that_still_runs(tmp_path):
    folder = add_job(tmp_path, "data=digits", status="interrupted", error="KeyboardInterrupt: ")
    page = page_of(folder)
    assert "Why it was interrupted KeyboardInterrupt" in page.text
    assert "python train.py resume=" in page.text
    (folder / "result.json").unlink()
    assert "The run has not ended" in page_of(folder).text
    (folder / "result.json").write_text("{")
    assert "result.json cannot be read" in page_of(folder).text


def test_pictures_come_in_order_and_large_ones_stay_outside(tmp_path, monkeypatch):
    folder = add_job(tmp_path, "seed=0", value=0.5)
    for name in ("classifier/mistakes.png", "dae/latent.png", "dae/reconstructions.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        noise = np.random.default_rng(0).integers(0, 256, (40, 40) if "latent" not in name else (90, 90))
        Image.fromarray(noise.astype(np.uint8)).save(folder / name)
    monkeypatch.setattr(run_page, "MOST_BYTES", 5000)
    page = page_of(folder)
    assert [str(image["alt"])[:10] for image in page.all("img")] == ["Validation", "The mistak"]
    assert "Too large for this page: dae/latent.png in the run folder" in page.text


def test_a_job_that_shared_stage_1_shows_its_curves_and_pictures(watched_run: Path):
    (place,) = (watched_run.parent / "sweep" / "stage1").iterdir()
    for folder in (watched_run.parent / "sweep").glob("labels-*"):
        page = page_of(folder)
        assert (
            f"Stage 1 was trained once for several jobs of the sweep, in ../stage1/{place.name}" in page.text
        )
        assert "../report.html" in page.references
        assert "bootstrap, 360 images" in page.text, "test.json of stage 1"


def test_a_page_that_cannot_be_written_is_a_warning(train: Train, monkeypatch):
    def fail() -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(write, "templates", fail)
    done = train(*SMOKE)
    assert done.exit_code == 0
    assert "report.html could not be written: OSError: the disk is full" in done.text
    assert not (done.folder / "report.html").exists()
