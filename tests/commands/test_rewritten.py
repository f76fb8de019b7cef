from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dae.cli import main
from helpers import draw_images
from outcome import BRIEF


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    draw_images(tmp_path / "in" / "sub", 2, (30, 40))
    draw_images(tmp_path / "in", 1, (20, 20), "L")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def test_noise_keeps_names_and_sizes_and_is_the_same_again(here, capsys):
    assert main(["noise", "in", "--std", "0.1", "--out", "one"]) == 0
    said = capsys.readouterr()
    assert sorted(said.out.split()) == ["one/000.png", "one/sub/000.png", "one/sub/001.png"]
    assert "3 images of 3 made noisy, in one: " in said.err
    assert main(["noise", "in/000.png", "--std", "0.1", "--out", "two"]) == 0
    assert np.array_equal(pixels("one/000.png"), pixels("two/000.png"))
    assert main(["noise", "in/000.png", "--std", "0.1", "--seed", "1", "--out", "three"]) == 0
    assert not np.array_equal(pixels("one/000.png"), pixels("three/000.png"))
    added = (pixels("one/sub/000.png") - pixels("in/sub/000.png"))[pixels("in/sub/000.png") == 90]
    assert added.std() == pytest.approx(25.5, rel=0.1)


@pytest.mark.parametrize("kind", ["dropout", "salt_pepper", "mask", "block"])
def test_the_other_kinds(here, kind):
    assert main(["noise", "in/sub/001.png", "--noise", kind, "--out", "out"]) == 0
    before, after = pixels("in/sub/001.png"), pixels("out/001.png")
    changed = (before != after).mean()
    assert changed == (
        64 / 1200 if kind == "block" else pytest.approx(1 if kind == "dropout" else 0.2, abs=0.05)
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--noise", "salt_pepper", "--std", "0.3"], "--std 0.3: salt_pepper has no std, but p"),
        (["--p", "0.3"], "gaussian has no p, but std"),
        (["--noise", "mask", "--p", "1"], "--p 1.0: found 1.0, expected less than 1"),
        (["--std", "-1"], "--std -1.0: found -1.0, expected greater than or equal to 0"),
        (["--std", "nan"], "--std nan: found nan, expected a finite number"),
        (["--noise", "block", "--size", "0"], "--size 0: found 0, expected greater than 0"),
    ],
)
def test_levels_that_a_noise_has_not(here, capsys, arguments, words):
    assert main(["noise", "in", "--out", "out", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (here / "out").exists()


def test_a_misspelt_noise(here, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["noise", "in", "--out", "out", "--noise", "gausian"])
    assert "the nearest is gaussian" in capsys.readouterr().err


def test_what_is_there_is_not_overwritten(here, capsys):
    before = {path: path.read_bytes() for path in Path("in").rglob("*.png")}
    (here / "link").symlink_to("in")
    (here / "mixed" / "sub").mkdir(parents=True)
    (here / "mixed" / "sub" / "001.png").symlink_to(here / "in" / "sub" / "001.png")
    for out in ("in", "link", "in/sub/..", "mixed"):
        assert main(["noise", "in", "--out", out, "--overwrite"]) == 2
        assert "original" in capsys.readouterr().err
    assert main(["noise", "in", "--out", "in/sub", "--overwrite"]) == 2
    assert main(["noise", "in", "--out", "in/sub/../../in/sub"]) == 2
    assert "original" in capsys.readouterr().err
    assert main(["noise", "in/sub/001.png", "in", "--out", "."]) == 2
    assert "images that are meant lie in it: in/sub/001.png, in/000.png" in capsys.readouterr().err
    assert main(["noise", "in/000.png", "in/sub/000.png", "--out", "out"]) == 2
    assert "in/000.png and in/sub/000.png would both be written to out/000.png" in capsys.readouterr().err
    assert main(["noise", "in", "--out", "out"]) == 0
    made = {path: path.read_bytes() for path in Path("out").rglob("*.png")}
    assert main(["noise", "in", "--seed", "1", "--out", "out"]) == 2
    assert "3 of 3 files are there already: 000.png, sub/000.png, sub/001.png" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in made} == made
    assert main(["noise", "in", "--seed", "1", "--out", "out", "--overwrite"]) == 0
    assert all(path.read_bytes() != content for path, content in made.items())
    assert {path: path.read_bytes() for path in before} == before


def test_a_bad_file_among_others(here, capsys):
    (here / "in" / "000_bad.png").write_text("no image")
    draw_images(here / "in" / "small", 1, (5, 5))
    assert main(["noise", "in", "--noise", "block", "--out", "out"]) == 1
    said = capsys.readouterr()
    assert len(said.out.split()) == 3
    assert "2 files could not be read as an image:\n  - in/000_bad.png: it is no image of" in said.err
    assert "in/small/000.png: its 5 x 5 pixels have no room for a square of 8" in said.err


def test_a_folder_that_cannot_be_written_to(here, capsys):
    (here / "out").write_text("")
    assert main(["noise", "in", "--out", "out"]) == 2
    assert "--out out: is no folder" in capsys.readouterr().err
    assert main(["noise", "in", "--out", "out/deeper"]) == 1
    assert "cannot be written: Not a directory" in capsys.readouterr().err
    assert main(["noise", "nowhere", "--out", "new"]) == 2


def test_interrupted_there_is_no_half_of_a_file(here, monkeypatch):
    save = Image.Image.save

    def stop(image: Image.Image, path: Path, **how: Any) -> None:
        save(image, path, **how)
        os.kill(os.getpid(), 15)

    monkeypatch.setattr(Image.Image, "save", stop)
    assert main(["noise", "in", "--out", "out"]) == 143
    assert [path for path in Path("out").rglob("*") if path.is_file()] == []


def test_denoise_by_a_run(here, finished, capsys, monkeypatch):
    run = str(finished(*BRIEF).folder)
    monkeypatch.chdir(here)
    assert main(["denoise", run, "in", "--out", "out"]) == 0
    said = capsys.readouterr()
    assert sorted(said.out.split()) == ["out/000.png", "out/sub/000.png", "out/sub/001.png"]
    assert "3 images of 3 denoised, in out: " in said.err
    assert "3 images of another size than the 28 x 28 of the training" in said.err
    assert pixels("out/sub/001.png").shape == (40, 30, 3)
    assert pixels("out/000.png").shape == (20, 20)
    assert np.abs(pixels("out/000.png") - pixels("in/000.png")).max() > 5  # no copy
    assert main(["denoise", run, "in/000.png", "--out", "resized", "--resize"]) == 0
    assert not np.array_equal(pixels("resized/000.png"), pixels("out/000.png"))
    assert main(["denoise", f"{run}/classifier/best.ckpt", "in", "--out", "new"]) == 1
    assert "holds no decoder; expected a checkpoint of stage 1" in capsys.readouterr().err
    assert main(["denoise", "nowhere", "in", "--out", "new"]) == 1
    assert not (here / "new").exists()
