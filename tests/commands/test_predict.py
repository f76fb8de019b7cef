from __future__ import annotations

import csv
import io
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dae.cli import main
from dae.commands.told import with_progress
from dae.data.images import ImageDataModule
from dae.data.sources import digits as digits_source
from outcome import BRIEF, Train


@pytest.fixture
def run(finished: Train) -> Path:
    return finished(*BRIEF).folder


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five images, and a bad file as the third."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "abdef":
        pixels = np.random.default_rng(ord(name)).integers(0, 256, (30, 40, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    (folder / "c\x1b[31m.png").write_text("no image")
    return folder


def test_files_are_classified_as_the_run_has_measured_its_test_set(run, tmp_path, capsys):
    """Each class under its own name, each row to its own file, over several batches."""
    data = ImageDataModule(digits_source, Path(), 32, 0.1, 0, 28, 1)
    data.setup()
    for number, image in enumerate(data.test.images[:]):
        Image.fromarray(image[0].numpy()).save(tmp_path / f"{number:03}.png")
    assert main(["predict", str(run), str(tmp_path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [Path(row["path"]).name for row in rows] == [f"{number:03}.png" for number in range(len(rows))]
    labels = [str(int(label)) for label in data.test.labels]
    right = np.mean([row["class"] == label for row, label in zip(rows, labels, strict=True)])
    loss = -np.mean([math.log(row["probabilities"][label]) for row, label in zip(rows, labels, strict=True)])
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    assert right == pytest.approx(metrics["classifier/test/accuracy"])
    assert loss == pytest.approx(metrics["classifier/test/loss"], rel=1e-4)
    for row in rows:
        assert row["error"] is None
        assert row["probability"] == row["probabilities"][row["class"]] == max(row["probabilities"].values())
        assert set(row["probabilities"]) == set("0123456789")


def test_each_form_says_the_same_and_a_bad_file_stops_nothing(run, images, capsys, monkeypatch):
    monkeypatch.setattr("dae.use.predict.BATCH", 2)
    said = {}
    for form in ("--json", "--csv", ""):
        assert main(["predict", str(run), "in", "--top", "3", *form.split()]) == 1
        said[form], told = capsys.readouterr()
        assert told.splitlines() == [
            "in/c\\x1b[31m.png cannot be read as an image: it is no image of PNG, JPEG, TIFF, BMP, GIF, "
            "WEBP, PPM",
            "1 of 6 files could not be read as images; see above",
        ]
    rows = json.loads(said["--json"])
    assert [row["path"][3] for row in rows] == list("abcdef")
    bad = rows.pop(2)
    assert (bad["class"], bad["probability"], bad["probabilities"]) == (None, None, None)
    assert bad["path"] == "in/c\x1b[31m.png"
    assert bad["error"].startswith("it is no image of")
    cells = list(csv.reader(io.StringIO(said["--csv"])))
    head = ["path", "class", "probability", "class_2", "probability_2", "class_3", "probability_3", "error"]
    assert cells.pop(0) == head
    wrong = cells.pop(2)
    assert wrong[:7] == ["in/c\\x1b[31m.png", *[""] * 6]
    assert wrong[7].startswith("it is no image of")
    lines = said[""].splitlines()
    assert (
        " ".join(lines.pop(0).split()) == "path class probability class 2 probability 2 class 3 probability 3"
    )
    for row, cell, line in zip(rows, cells, lines, strict=True):
        pairs = list(row["probabilities"].items())
        assert len(pairs) == 3
        assert cell == [row["path"], *(str(value) for pair in pairs for value in pair), ""]
        assert line.split() == [row["path"], *(w for name, share in pairs for w in (name, f"{share:.4f}"))]


def test_a_run_without_a_classifier_says_how_to_train_one(run, images, capsys):
    shutil.copytree(run, "half run", ignore=lambda folder, names: {"classifier"} & set(names))
    command = (
        "stage=classifier 'classifier.encoder_checkpoint=\"half run{}\"' data=digits data.limit=64 data."
    )
    for place in ("half run", "half run/dae/best.ckpt"):
        assert main(["predict", place, "in"]) == 1
        (told,) = [line for line in capsys.readouterr().err.splitlines() if "to train one" in line]
        assert command.format(place.removeprefix("half run")) in told


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere", "in"], 1, "nowhere: no such file or folder; expected a checkpoint or a run folder"),
        (["in", "in"], 1, "in: a run folder with classifier/best.ckpt was expected; it holds no *.ckpt file"),
        (["RUN", "nothing"], 2, "nothing: no such file or folder"),
        (["RUN", "in", "--top", "11"], 2, "there are 10 classes\n      --top 10"),
        (["in/a.png", "in"], 1, "it is no checkpoint of plain values: File is not a zip file"),
    ],
)
def test_what_is_refused(run, images, capsys, arguments, code, words):
    assert main(["predict", *(word.replace("RUN", str(run)) for word in arguments)]) == code
    out, told = capsys.readouterr()
    assert words in told
    assert out == ""


def test_no_classes_or_none_that_count(capsys):
    for arguments, words in (
        (["--top", "0"], "found '0', expected 1 or more"),
        (["--csv", "--json"], "not allowed"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(["predict", "run", "in", *arguments])
        assert words in capsys.readouterr().err


def test_what_is_printed_beside_a_bar_goes_where_it_went(capsys, monkeypatch):
    """A bar of Rich takes standard output along, to where the bar is."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    for row in with_progress(["a", "b"], 2, "Predicting"):
        print(row)
    assert capsys.readouterr().out == "a\nb\n"
