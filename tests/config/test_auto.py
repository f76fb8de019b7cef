"""``auto`` for the size and the channels of the images, from the command to the saved config."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from dae.config.preflight import resolve_auto
from helpers import QUIET, composed, draw_images
from outcome import Train

QUICK = ("debug=smoke", *QUIET, "data=image_folder")
STAGE_1 = (*QUICK, "stage=dae")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of colour images, 44 x 44."""
    for name in ("disc", "square"):
        draw_images(tmp_path / "images" / name, 10, size=(44, 44))
    return tmp_path / "images"


def saved(folder: Path) -> tuple[int, int]:
    config = OmegaConf.load(folder / "config.yaml")
    return config.data.image_size, config.data.channels


def test_the_folder_alone_is_enough(root, train: Train):
    done = train(*QUICK, f"data.root={root}")
    assert done.exit_code == 0, done.text
    assert saved(done.folder) == (44, 3)
    told = "auto: data.image_size=44, data.channels=3, by "
    assert done.out.count(told) == 1
    assert json.loads((done.folder / "run.json").read_text())["data"].startswith("image_folder, 3 x 44 x 44")
    # What is printed to go on with works as it is.
    (words,) = re.findall(r"go on +python train.py (.*)", done.out)
    again = train(*shlex.split(words), "debug=smoke", *QUIET)
    assert again.exit_code == 0, again.text


def test_no_such_folder(train: Train):
    done = train(*QUICK, "data.root=nowhere")
    assert done.exit_code == 2
    assert (
        "data.root=nowhere is not a folder. data=image_folder reads <root>/train/<class>/*.png" in done.text
    )


def test_images_without_classes_and_then_with(root, tmp_path, train: Train):
    """48 pixels without labels, 44 with: the second has the size that the encoder was trained for."""
    flat = draw_images(tmp_path / "flat", 20, size=(48, 48), mode="L")
    shown = train("stage=data", "data=image_folder", f"data.root={flat}", place="shown")
    assert shown.exit_code == 0, shown.text
    assert "classifier: cannot be trained, since no image has a class" in shown.out
    assert "Train: python train.py stage=dae data=image_folder" in shown.out
    refused = train(*QUICK, f"data.root={flat}", place="refused")
    assert refused.exit_code == 2
    assert "stage: found 'both', but stage 2 needs classes, and these images have none" in refused.text
    assert "try stage=dae" in refused.text
    first = train("stage=dae", f"data.root={flat}", *QUICK, "callbacks=[filters,latent]")
    assert first.exit_code == 0, first.text
    assert saved(first.folder) == (48, 1)
    (words,) = re.findall(r"go on +python train.py (.*)", first.out)
    assert words in (first.folder / "report.html").read_text()
    second = train(*shlex.split(words), *QUICK, f"data.root={root}")
    assert second.exit_code == 0, second.text
    assert saved(second.folders[1]) == (48, 1)
    assert "auto: data.image_size=48, data.channels=1, by the encoder in outputs/" in second.out
    warm = composed("data=image_folder", f"data.root={root}", f"dae.warm_start='{first.folders[0]}'")
    assert resolve_auto(warm).data.image_size == 48
