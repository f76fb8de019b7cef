"""Real runs, short ones, and their pages; folders made by hand where nothing needs to be trained."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from dae.report import embedded_pictures, write
from dae.report.configuration import chosen_rows, config_rows
from dae.report.intervals import bootstrap_interval, mean_share_interval, wilson_interval
from dae.report.run_folder import RunFolder
from dae.report.run_page import run_notes
from dae.report.write import write_run_report
from dae.text import format_figure
from helpers import LOSS, ONE_PASS, SMOKE, Page, add_job, write_run_info
from outcome import WHOLE, Train


def read(file: Path) -> dict:
    return json.loads(file.read_text())


def test_the_page_of_a_run(finished: Train):
    done = finished(*WHOLE)
    page = Page(done.folder)
    page.assert_well_formed()
    assert done.folder.name in page.text
    assert "What was run python train.py data=digits debug=smoke dae.noise.p=0.35 name=mine" in page.text
    run = read(done.folder / "run.json")
    for told in (run["data"], run["data_checksum"], run["device"], run["started"], run["versions"]["torch"]):
        assert told in page.text
    # Numbers: those of result.json, all of them that say something of grey images, and no others.
    metrics = {name: value for name, value in done.result["metrics"].items() if "pixel_" not in name}
    assert sorted(page.figures) == sorted(metrics.values())
    assert all(name in page.text and format_figure(value) in page.text for name, value in metrics.items())
    # How sure one can be: an interval for each test figure, and its mean is the figure.
    images = {stage: read(done.folder / stage / "test.json") for stage in ("dae", "classifier")}
    for name, value in metrics.items():
        stage, split, metric = name.split("/")
        if split == "test" and metric != "balanced_accuracy":  # of which the counts by class are kept
            each = images[stage][metric]
            if metric == "balanced_accuracy":
                right, of_class = each["right"], each["images"]
                assert sum(of_class) == images[stage]["images"] == 256
                assert np.mean(np.divide(right, of_class)) == pytest.approx(value, abs=1e-6)
                low, high = mean_share_interval(right, of_class)
                assert (
                    f"{format_figure(low)} to {format_figure(high)} Price and Bonett, 256 images" in page.text
                )
                continue
            assert len(each) == images[stage]["images"] == 256, "debug=smoke tests two batches"
            assert np.mean(each) == pytest.approx(value, abs=1e-5)
            by, (low, high) = "bootstrap", bootstrap_interval(each)
            if metric == "accuracy":
                by, (low, high) = "Wilson", wilson_interval(round(256 * value), 256)
            assert f"{format_figure(low)} to {format_figure(high)} {by}, 256 images" in page.text
    # Curves and pictures.
    for title in ("dae/loss", "dae/psnr", "classifier/accuracy", "dae: loss of single batches"):
        assert title in page.text
    assert any("dae/loss. train " in str(svg.get("aria-label")) for svg in page.all("svg"))
    marks = [group for group in page.all("g") if group.get("class") == "mark"]
    assert len(marks) == len([name for name in metrics if "/val/" in name]), (
        "the epoch that counts, in the chart of each metric"
    )
    files = sorted(done.folder.glob("*/*.png"))
    sources = [f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}" for file in files]
    assert len(files) == 6
    assert sorted(str(image["src"]) for image in page.all("img")) == sorted(sources)
    # What is special, and what comes next.
    assert "Cut short, so the figures mean little: trainer.limit_train_batches=3" in page.text
    assert "dae.epochs=1: a single epoch is a point, not a curve" in page.text
    arms = "compare=pretraining pretraining=none,plain,denoising seed=0,1,2"
    assert f"python train.py -m data=digits debug=smoke dae.noise.p=0.35 name=mine {arms}" in page.text
    assert "-m data=digits debug=smoke dae.noise.p=0.35 name=mine seed=0,1,2" in page.text


def test_the_config_marks_what_differs_from_the_defaults(train: Train):
    done = train("data=digits", "dae/noise=gaussian", "data.image_size=16", "stage=dae", *SMOKE[1:])
    source = Page(done.folder).source
    rows = re.findall(r"<tr( class=\"chosen\")?><th scope=\"row\"><code>([\w.]+)</code></th>", source)
    marked = {key for chosen, key in rows if chosen}
    assert {"dae.noise._target_", "dae.noise.std", "dae.noise.p", "data.source._target_", "stage"} <= marked
    assert "dae.encoder.image_size" not in marked, "it follows data.image_size"
    assert "dae.reference_noise.p" not in marked
    keys = {key for _, key in rows}
    assert keys >= {"seed", "dae.optimizer.lr", "trainer.precision"}, "all of them are there to be searched"


def test_callbacks_and_loggers_that_differ_are_named_in_a_row():
    callbacks = {
        "pictures": {"_target_": "dae.pictures.reconstructions.Reconstructions", "count": 3},
        "mine": {"_target_": "mine.Mine", "depth": 1},
    }
    chosen = chosen_rows(config_rows({"callbacks": callbacks, "logger": {}}))
    rows = {row.key: row for row in chosen if row.key.startswith(("call", "log"))}
    assert set(rows) == {
        "callbacks",
        "callbacks.pictures.count",
        "callbacks.pictures.every_n_epochs",
        "logger",
    }
    assert rows["callbacks.pictures.count"].value == "3"
    assert rows["callbacks"].value.startswith("added: mine; removed: best_and_worst, ")
    assert "pictures" in rows["callbacks"].default
    assert (rows["logger"].value, rows["logger"].default) == ("removed: tensorboard", "tensorboard")


def test_colour_images_nothing_trained_nothing_logged(train: Train):
    done = train("data.channels=3", "dae.epochs=0", *SMOKE)
    page = Page(done.folder)
    page.assert_well_formed()
    for words in (
        "dae.epochs=0: nothing was trained in it",
        "Colour images",
        "dae: no curves, since logger=none",
        "classifier: no curves, since logger=none",
        "There are no curves",
    ):
        assert words in page.text
    metrics = {name: value for name, value in done.result["metrics"].items() if "pixel_" not in name}
    assert sorted(page.figures) == sorted(metrics.values())
    # With a logger, an untrained stage is a point.
    folder = train("dae.epochs=0", "stage=dae", *SMOKE, "logger=csv", place="b").folder
    assert "dae/psnr" in Page(folder).text
    assert not any("no curves" in note for note in run_notes(RunFolder(folder)))


def with_signs(folder: Path, *signs: str) -> Path:
    return add_job(folder, "data=digits", value=0.5, signs=signs)


def test_a_page_with_signs_is_not_simply_green(tmp_path):
    page = Page(write_run_report(with_signs(tmp_path, "dae/few_steps", "classifier/one_class")).parent)
    page.assert_well_formed()
    assert "completed, but with signs that little was learned" in page.text
    assert "dae: few_steps: 20, fewer than 300." in page.text
    assert "classifier: one_class: 20, fewer than 300." in page.text
    assert page.text.index("one_class") < page.text.rindex("What was run")
    (state,) = (each["class"] for each in page.all("span") if "status" in str(each.get("class")))
    assert state == "status doubtful"


def test_a_page_without_signs_is(tmp_path):
    page = Page(write_run_report(with_signs(tmp_path)).parent)
    (state,) = (each["class"] for each in page.all("span") if "status" in str(each.get("class")))
    assert state == "status completed"
    assert "little was learned" not in page.text
    assert "#signs" not in page.references


@pytest.mark.parametrize(
    ("ceiling", "objective", "shown"),
    [
        (0.81, LOSS, True),
        (0.49, LOSS, False),
        (0.49, ("dae/test/pixel_accuracy", "max"), True),
        (None, LOSS, True),
    ],
)
def test_pixel_accuracy_is_left_out_where_grey_targets_make_it_say_nothing(
    tmp_path, ceiling, objective, shown
):
    folder = add_job(tmp_path, value=0.5, objective=objective, dae__test__pixel_accuracy=0.5)
    write_run_info(folder, pixel_accuracy_ceiling=ceiling)
    (folder / "dae").mkdir()
    (folder / "dae" / "metrics.csv").write_text("step,dae/val/pixel_accuracy,dae/val/psnr\n1,0.4,20\n")
    page = Page(write_run_report(folder).parent)
    assert ("dae/test/pixel_accuracy" in page.text) == shown
    assert ("dae/pixel_accuracy" in page.text) == (ceiling != 0.49), "the curve"
    assert "dae/psnr" in page.text
    words = "Pixel accuracy is left out: it cannot exceed 0.4900 here"
    assert page.text.count(words) == (ceiling == 0.49)


def test_a_class_that_a_split_lacks(train: Train, tmp_path: Path):
    for split, counts in (("train", {"cat": 1, "dog": 40}), ("test", {"cat": 3, "dog": 3})):
        for name, count in counts.items():
            (tmp_path / "images" / split / name).mkdir(parents=True)
            for number in range(count):
                Image.new("L", (28, 28), 5 * number).save(
                    tmp_path / "images" / split / name / f"{number}.png"
                )
    done = train("data=image_folder", f"data.root={tmp_path / 'images'}", "data.validation=2", *SMOKE[1:])
    told = "No validation image is of class cat, so no validation figure covers it"
    assert told in Page(done.folder).text, "the only cat is trained on"


def test_the_page_of_the_data_alone(finished: Train):
    done = finished("stage=data", "data=digits", "data.labels=10/class", "classifier.epochs=1")
    page = Page(done.folder)
    page.assert_well_formed()
    assert "stage=data shows the data: nothing was trained." in page.text
    assert "all 1,293 100 144 360" in page.text
    assert len(page.all("img")) == 1
    # Not by its words: the page may hold the uncommitted changes of the code, and those may hold any.
    sections = [each["id"] for each in page.all("section") if "id" in each]
    assert sections == ["run", "learned", "config", "again", "next"]
    assert {each["class"] for each in page.all("span") if "status" in str(each.get("class"))} == {
        "status completed"
    }
    assert "python train.py data=digits data.labels=10/class classifier.epochs=1" in page.text


def test_a_diverged_run_says_why(train: Train):
    done = train(
        "data=digits",
        "debug=smoke",
        "callbacks=none",
        "stage=dae",
        "dae/optimizer=sgd",
        "dae.optimizer.lr=1e30",
    )
    assert done.exit_code == 1
    page = Page(done.folder)
    page.assert_well_formed()
    assert "Why it failed dae diverged: its loss is nan at step" in page.text
    assert "There is no test: the run has not reached it" in page.text
    assert "debug=smoke callbacks=none stage=dae dae/optimizer=sgd dae.optimizer.lr=0.001" in page.text
    assert f"resume={done.folder.relative_to(done.place)}" in page.text
    assert "ERROR dae diverged" in page.text, "the end of the log"
    assert "dae: no curves, since it ended before there was a point to log" in page.text


def test_what_is_refused_has_a_page_when_it_is_asked_for(train: Train):
    folder = train("classifier.epochs=ten").folder
    assert not (folder / "report.html").exists()
    page = Page(write_run_report(folder).parent)
    page.assert_well_formed()
    assert "classifier.epochs: found 'ten', expected a valid integer" in page.text
    assert "dae train classifier.epochs=ten" in page.text
    assert "ended before it wrote run.json" in page.text


def test_what_is_written_is_escaped(tmp_path):
    nasty = "<script>alert('&')</script><img src=https://example.org/a.png>"
    folder = add_job(tmp_path, f"name={nasty}", status="failed", error=nasty)
    (folder / "train.log").write_text(nasty)
    OmegaConf.save({"name": nasty, "dae": {"epochs": 1}}, folder / "config.yaml")
    write_run_info(folder, command=nasty, git={"commit": nasty, "diff": nasty})
    page = Page(write_run_report(folder).parent)
    page.assert_well_formed()
    assert page.text.count(nasty) >= 6, "as text"
    assert not page.all("img")


def test_an_interrupted_run_and_one_that_still_runs(tmp_path):
    folder = add_job(tmp_path, "data=digits", status="interrupted", error="KeyboardInterrupt: ")
    (folder / "config.yaml").write_text("stage: dae\n")
    page = Page(write_run_report(folder).parent)
    assert "Why it was interrupted KeyboardInterrupt" in page.text
    assert "python train.py resume=" in page.text
    (folder / "result.json").unlink()
    assert "The run has not ended" in Page(write_run_report(folder).parent).text
    (folder / "result.json").write_text("{")
    assert "result.json cannot be read" in Page(write_run_report(folder).parent).text


def test_an_empty_folder_has_a_page(tmp_path):
    Page(write_run_report(tmp_path).parent).assert_well_formed()


def test_pictures_come_in_order_and_large_ones_stay_outside(tmp_path, monkeypatch):
    folder = add_job(tmp_path, "seed=0", value=0.5)
    for name in ("classifier/mistakes.png", "dae/latent.png", "dae/reconstructions.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        noise = np.random.default_rng(0).integers(0, 256, (40, 40) if "latent" not in name else (90, 90))
        Image.fromarray(noise.astype(np.uint8)).save(folder / name)
    monkeypatch.setattr(embedded_pictures, "MOST_BYTES", 5000)
    page = Page(write_run_report(folder).parent)
    assert page.source.count('tabindex="0"><img') == 2, "each in a box of its own to scroll in"
    told = [str(image["alt"])[:10] for image in page.all("img")]
    assert told == ["Validation", "The mistak"]
    assert "Too large for this page: dae/latent.png in the run folder" in page.text


def test_a_job_that_shared_stage_1_shows_its_curves_and_pictures(train: Train):
    quick = ("callbacks=[curves,pictures]", "data.batch_size=16", "trainer.limit_test_batches=1")
    done = train("-m", "data=digits", "debug=smoke", *quick, "data.labels=20,50")
    for folder in done.folders:
        page = Page(folder)
        page.assert_well_formed(leads_to={"../report.html"})
        assert "dae was trained once for several jobs of the sweep, in ../stage1/" in page.text
        assert "dae/psnr" in page.text
        assert "bootstrap, 128 images" in page.text
        assert len(page.all("img")) == 1
        labels = "data.labels=20" if "labels-20" in folder.name else "data.labels=50"
        assert re.search(rf"python train.py data=digits debug=smoke .*{labels}", page.text)


def test_a_page_that_cannot_be_written_is_a_warning(train: Train, monkeypatch):
    def fail() -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(write, "templates", fail)
    done = train(*SMOKE)
    assert done.exit_code == 0
    assert done.result["status"] == "completed"
    assert "report.html could not be written: OSError: the disk is full" in done.text
    assert not (done.folder / "report.html").exists()


def test_the_best_epoch_being_the_last_there_is_more_to_come(train: Train):
    done = train("data=digits", "data.limit=300", *ONE_PASS, "dae.epochs=2", "stage=dae", "callbacks=none")
    page = Page(done.folder)
    assert f"resume={done.folder.relative_to(done.place)} dae.epochs=4" in page.text
