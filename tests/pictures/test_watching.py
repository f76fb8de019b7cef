"""What all callbacks together must not do: change a run, or end it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from dae.runs.checkpoint import content_hash, read
from outcome import ONE_PASS, WATCHED, Train

QUICK = (
    "data=digits",
    "data.limit=96",
    *ONE_PASS,
    "dae.epochs=1",
    "classifier.epochs=1",
    "callbacks=all",
    "callbacks.robustness.images=20",
    "callbacks.latent.images=20",
)
UNUSUAL = ("data.augment=2", "trainer.accumulate_grad_batches=2", "data.validation=test")
STAGE_1 = tuple(f"dae/{name}.png" for name in ("reconstructions", "robustness", "latent", "filters"))
STAGE_2 = tuple(f"classifier/{name}.png" for name in ("confusion", "calibration", "mistakes"))


def pictures(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.glob("*/*.png")}


def test_a_watched_run_is_the_same_run_bit_for_bit(watched_run: Path, train: Train):
    unwatched = train(*WATCHED, "callbacks=none").folder
    hashes, measured = [], []
    for folder in (watched_run, unwatched):
        files = [folder / stage / "last.ckpt" for stage in ("dae", "classifier")]
        hashes.append([content_hash(read(file).tensors) for file in files])
        measured.append(json.loads((folder / "result.json").read_text())["metrics"])
    assert hashes[0] == hashes[1]
    assert measured[0].items() >= measured[1].items(), "some callbacks measure more, and none something else"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("logger=none", "dae.epochs=0", "classifier.epochs=0"), STAGE_1 + STAGE_2),
        (("classifier=mlp",), STAGE_2),
    ],
    ids=" ".join,
)
def test_pictures_of_every_run(train: Train, arguments: tuple[str, ...], expected: tuple[str, ...]):
    done = train(*QUICK, *arguments)
    assert done.exit_code == 0, done.text
    assert pictures(done.folder) == set(expected)


def test_colour_images_that_stay_in_their_files_and_whatever_else_is_unusual(train: Train, tmp_path: Path):
    for label, name in enumerate(("dark", "light")):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(30):
            colour = (100 * label + 2 * number, 40, 90)
            Image.new("RGB", (32, 32), colour).save(tmp_path / "images" / name / f"{number}.png")
    folder = (
        "data=image_folder",
        f"data.root={tmp_path / 'images'}",
        "data.limit=20",
        *ONE_PASS,
    )
    wide = ("data.channels=3", "data.image_size=32", "logger=csv", "dae/noise=none")
    done = train(*QUICK, *folder, *wide, *UNUSUAL)
    assert done.exit_code == 0, done.text
    assert pictures(done.folder) == {*STAGE_1, *STAGE_2}
