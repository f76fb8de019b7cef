from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dae
from dae.cli import main
from dae.data.images import ImageDataModule
from dae.data.sources import digits as digits_source
from outcome import BRIEF, Train


@pytest.fixture
def run(finished: Train) -> Path:
    return finished(*BRIEF).folder


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Path) -> Path:
    """Five images, and a bad file as the third."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "abdef":
        pixels = np.random.default_rng(ord(name)).integers(0, 256, (30, 40, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    (folder / "c\x1b[31m.png").write_text("no image")
    return folder


def latents_of(run: Path, *names: str) -> np.ndarray:
    encoder = dae.load_encoder(run)
    return np.stack([encoder(encoder.preprocess(f"in/{name}.png")).flatten().numpy() for name in names])


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
        assert "1 of 6 files could not be used:\n  - in/c\\x1b[31m.png: it is no image of" in told
    rows = json.loads(said["--json"])
    assert [row["path"][3] for row in rows] == list("abcdef")
    bad = rows.pop(2)
    assert (bad["class"], bad["probability"], bad["probabilities"]) == (None, None, None)
    assert bad["error"].startswith("it is no image of")
    cells = list(csv.reader(io.StringIO(said["--csv"])))
    head = ["path", "class", "probability", "class_2", "probability_2", "class_3", "probability_3", "error"]
    assert cells.pop(0) == head
    wrong = cells.pop(2)
    assert wrong[:7] == ["in/c\\x1b[31m.png", *[""] * 6]
    assert wrong[7].startswith("it is no image of")
    lines = [line for line in said[""].splitlines()[1:] if "no image" not in line]
    for row, cell, line in zip(rows, cells, lines, strict=True):
        pairs = list(row["probabilities"].items())
        assert len(pairs) == 3
        assert cell == [row["path"], *(str(value) for pair in pairs for value in pair), ""]
        assert line.split() == [row["path"], *(w for name, share in pairs for w in (name, f"{share:.4f}"))]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere", "in"], 1, "nowhere: no such file or folder; expected a checkpoint or a run folder"),
        (["in", "in"], 1, "in: a run folder with classifier/best.ckpt was expected; it holds no *.ckpt file"),
        (["RUN", "nothing"], 2, "nothing: no such file or folder"),
        (["RUN", "in", "--top", "0"], 2, "--top 0: expected 1 to 10, the number of classes"),
        (["in/a.png", "in"], 1, "it is no checkpoint of plain values: File is not a zip file"),
    ],
)
def test_what_is_refused(run, images, capsys, arguments, code, words):
    assert main(["predict", *(word.replace("RUN", str(run)) for word in arguments)]) == code
    out, told = capsys.readouterr()
    assert words in told
    assert out == ""


def test_latents_as_npy_with_the_paths_beside_it_and_as_csv(run, images, capsys, monkeypatch):
    monkeypatch.setattr("dae.use.predict.BATCH", 2)
    assert main(["embed", str(run), "in/d.png", "in", "--out", "latents.npy"]) == 1
    assert capsys.readouterr().out == "latents.npy\n"
    assert Path("latents.txt").read_text() == "".join(f"in/{name}.png\n" for name in "dabef")
    found = np.load("latents.npy")
    assert (found.shape, found.dtype) == ((5, 256), np.float32)
    assert np.allclose(found, latents_of(run, *"dabef"), atol=1e-6)
    assert main(["embed", str(run), "in/d.png", "--out", "latents.csv", "in/a.png"]) == 0
    with Path("latents.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["path", *(f"latent_{number}" for number in range(256))]
    assert [row[0] for row in rows] == ["in/d.png", "in/a.png"]
    assert np.allclose(np.array([row[1:] for row in rows], np.float32), found[:2], atol=1e-6)


def test_the_encoder_of_stage_2_is_another(run, images):
    assert main(["embed", f"{run}/classifier", "in/a.png", "--out", "a.npy"]) == 0
    assert np.allclose(np.load("a.npy"), latents_of(run / "classifier" / "best.ckpt", "a"), atol=1e-6)
    assert not np.allclose(np.load("a.npy"), latents_of(run, "a"), atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["in", "--out", "latents.npz"], 2, "ends in .npz, expected .npy or .csv\n      --out latents.npy"),
        (
            ["in", "--out", "no where/latents.npy"],
            2,
            "there is no folder no where\n      mkdir -p 'no where'",
        ),
        (["in", "--out", "folder.npy"], 2, "folder.npy: is there already"),
        (["in", "--out", "old.csv"], 2, "old.csv: is there already\n      --overwrite replaces a file"),
        (["in", "--out", "new.npy"], 2, "new.txt: is there already"),
        (["nothing", "--out", "latents.npy"], 2, "nothing: no such file or folder"),
        (["in/c\x1b[31m.png", "--out", "latents.npy"], 1, "1 of 1 file could not be used"),
    ],
)
def test_what_is_refused_leaves_all_as_it_was(run, images, capsys, arguments, code, words):
    Path("folder.npy").mkdir()
    for name in ("old.csv", "new.txt"):
        Path(name).write_text("mine")
    before = set(Path().rglob("*"))
    assert main(["embed", str(run), *arguments]) == code
    assert words in capsys.readouterr().err
    assert set(Path().rglob("*")) == before
    assert Path("old.csv").read_text() == Path("new.txt").read_text() == "mine"
