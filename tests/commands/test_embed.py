from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dae
from dae.cli import main
from outcome import BRIEF, Train


@pytest.fixture
def run(finished: Train) -> Path:
    return finished(*BRIEF).folder


@pytest.fixture
def expected(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """The latents of the images in ``in``: a, b and d; c is none."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    encoder = dae.load_encoder(run)
    latents = []
    for name in "abd":
        pixels = np.random.default_rng(ord(name)).integers(0, 256, (30, 40), np.uint8)
        Image.fromarray(pixels).save(f"in/{name}.png")
        latents.append(encoder(encoder.preprocess(f"in/{name}.png")).flatten().numpy())
    Path("in/c.png").write_text("no image")
    return np.stack(latents)


def test_npy_and_the_paths_beside_it(run, expected, capsys, monkeypatch):
    monkeypatch.setattr("dae.use.predict.BATCH", 2)
    assert main(["embed", str(run), "in/d.png", "in", "--out", "latents.npy"]) == 1
    out, told = capsys.readouterr()
    assert out == "latents.npy\n"
    assert "in/c.png cannot be read as an image" in told
    assert told.endswith("1 of 4 files could not be read as images; see above\n")
    assert Path("latents.txt").read_text() == "in/d.png\nin/a.png\nin/b.png\n"
    found = np.load("latents.npy")
    assert (found.shape, found.dtype) == ((3, 256), np.float32)
    assert np.allclose(found, expected[[2, 0, 1]], atol=1e-6)
    assert {file.name for file in Path().iterdir()} == {"in", "latents.npy", "latents.txt"}


def test_csv_is_as_exact(run, expected):
    assert main(["embed", str(run), "in/a.png", "--out", "latents.csv", "in/b.png"]) == 0
    with Path("latents.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["path", *(f"latent_{number}" for number in range(256))]
    assert [row[0] for row in rows] == ["in/a.png", "in/b.png"]
    main(["embed", str(run), "in/a.png", "in/b.png", "--out", "latents.npy"])
    assert np.array_equal(np.array([row[1:] for row in rows], np.float32), np.load("latents.npy"))


def test_parquet(run, expected, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("dae.use.latents.ROWS", 1)
    assert main(["embed", str(run), "in/a.png", "in/b.png", "--out", "latents.parquet"]) == 0
    table = parquet.read_table("latents.parquet")
    assert table.column_names == ["path", *(f"latent_{number}" for number in range(256))]
    assert table["path"].to_pylist() == ["in/a.png", "in/b.png"]
    found = np.stack([table[f"latent_{number}"].to_numpy() for number in range(256)], 1)
    assert found.dtype == np.float32
    assert np.allclose(found, expected[:2], atol=1e-6)


def test_the_encoder_of_stage_2_is_another(run, expected, capsys):
    assert main(["embed", str(run), "in/a.png", "--out", "a.npy", "--stage", "classifier"]) == 0
    encoder = dae.load_encoder(run / "classifier" / "best.ckpt")
    latent = encoder(encoder.preprocess("in/a.png")).flatten().numpy()
    assert np.allclose(np.load("a.npy")[0], latent, atol=1e-6)
    assert not np.allclose(latent, expected[0], atol=1e-3)
    first = str(run / "dae" / "best.ckpt")
    assert main(["embed", first, "in/a.png", "--out", "b.npy", "--stage", "classifier"]) == 1
    assert "dae/best.ckpt is of the stage dae, expected classifier" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (
            ["in", "--out", "latents.npz"],
            2,
            "ends in .npz, expected .npy or .csv or .parquet\n      --out latents.npy",
        ),
        (["in", "--out", "latents"], 2, "ends in no suffix"),
        (
            ["in", "--out", "no where/latents.npy"],
            2,
            "there is no folder no where\n      mkdir -p 'no where'",
        ),
        (["in", "--out", "folder.npy"], 2, "folder.npy: is a folder, expected a file"),
        (["in", "--out", "old.csv"], 2, "old.csv: is there already\n      --overwrite replaces it"),
        (["in", "--out", "new.npy"], 2, "new.txt: is there already"),
        (["in", "--out", "l" * 251 + ".npy"], 1, "l.npy cannot be written: File name too long"),
        (["nothing", "--out", "latents.npy"], 2, "nothing: no such file or folder"),
        (
            ["in/c.png", "--out", "latents.npy"],
            1,
            "None of 1 file could be read as an image: nothing is written",
        ),
        (
            ["in", "--out", "latents.parquet"],
            1,
            "needs pyarrow, not installed here: pip install -e '.[parquet]'",
        ),
    ],
)
def test_what_is_refused_leaves_all_as_it_was(run, expected, capsys, monkeypatch, arguments, code, words):
    monkeypatch.setattr("dae.commands.outputs.find_spec", lambda name: None)
    Path("folder.npy").mkdir()
    for name in ("old.csv", "new.txt"):
        Path(name).write_text("mine")
    before = set(Path().rglob("*"))
    assert main(["embed", str(run), *arguments]) == code
    assert words in capsys.readouterr().err
    assert set(Path().rglob("*")) == before
    assert Path("old.csv").read_text() == Path("new.txt").read_text() == "mine"


def test_overwrite(run, expected):
    Path("old.npy").write_text("mine")
    assert main(["embed", str(run), "in/a.png", "--out", "old.npy", "--overwrite"]) == 0
    assert np.load("old.npy").shape == (1, 256)
