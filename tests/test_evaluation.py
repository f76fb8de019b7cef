"""``dae evaluate``: the run's own figures again, and those of other data and other noise."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

import dae
from dae.cli import main
from dae.data.images import ImageDataModule
from dae.data.sources import digits as digits_source
from dae.errors import ConfigError, UserError
from dae.evaluation import evaluate
from outcome import BRIEF, Train


@pytest.fixture
def run(finished: Train) -> Path:
    return finished(*BRIEF).folder


@pytest.fixture
def digits() -> ImageDataModule:
    data = ImageDataModule(digits_source, Path(), 32, 0.1, 0, 28, 1)
    data.setup()
    return data


def write_images(root: Path, data: ImageDataModule, classes: tuple[str, ...], count: int = 8) -> Path:
    """A folder with so many test images of each of these digits, and as many of them to train on."""
    for name in classes:
        for number, index in enumerate((data.test.labels == int(name)).nonzero().squeeze(1)[:count].tolist()):
            for part in ("train", "test"):
                (root / part / name).mkdir(parents=True, exist_ok=True)
                picture = Image.fromarray(data.test.images[index : index + 1][0, 0].numpy())
                picture.save(root / part / name / f"{number}.png")
    return root


@pytest.mark.parametrize("split", ["test", "val"])
def test_the_figures_of_the_run_come_out_again(run, split):
    found = evaluate(run, split=split).figures
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    assert len(found) == 8
    assert {name: figure.value for name, figure in found.items()} == {name: metrics[name] for name in found}
    for name, figure in found.items():
        assert (figure.interval is None) == name.endswith("balanced_accuracy"), (
            "of which no image has its own"
        )
        if figure.interval is None:
            continue
        assert figure.value is not None
        low, high = figure.interval
        assert low < figure.value < high


def test_under_another_noise(run):
    usual = evaluate(run / "dae")
    assert (usual.noise["p"], usual.noise_given) == (0.2, False)
    clean, strong = (evaluate(run / "dae", words) for words in (["dae/noise=none"], ["dae.noise.p=0.9"]))
    assert clean.figures["dae/test/noisy_loss"].value == usual.figures["dae/test/loss"].value
    assert (strong.noise["p"], strong.noise_given) == (0.9, True)
    assert strong.figures["dae/test/psnr"] != usual.figures["dae/test/psnr"]
    assert strong.figures["dae/test/loss"] == usual.figures["dae/test/loss"]


def test_classes_are_matched_by_their_names(run, digits, tmp_path):
    """A folder without some of the classes counts those that it has from 0."""
    root = write_images(tmp_path / "images", digits, ("3", "7"))
    found = evaluate(run, ["data=image_folder", f"data.root={root}", "data.validation=test"])
    classifier = dae.load_classifier(run)
    files = [(file, file.parent.name) for file in root.glob("*/*/*.png")]
    right = torch.stack(
        [classifier(classifier.preprocess(file))[0, classifier.classes.index(name)] for file, name in files]
    )
    assert found.figures["classifier/test/loss"].value == pytest.approx(-float(right.log().mean()), rel=1e-5)
    assert found.images == len(files) == 32
    assert found.notes[0] == "classes are matched by their names; there are none of class 0, 1, 2 ..."


def test_what_a_folder_lacks(run, digits, tmp_path):
    root = write_images(tmp_path / "images", digits, ("3", "7"))
    words = ["data=image_folder", f"data.root={root}", "data.validation=test"]
    for part in ("train", "test"):
        (root / part / "7").rename(root / part / "seven")
    with pytest.raises(ConfigError, match=r"classes seven, but the classifier knows 0, 1, 2 \.\.\.\n.*dae"):
        evaluate(run, words)
    assert set(evaluate(run / "dae", words).figures) == {
        f"dae/test/{name}" for name in ("loss", "pixel_accuracy", "noisy_loss", "psnr", "ssim")
    }
    for part in ("train", "test"):
        for file in [*(root / part).glob("*/*.png")]:
            file.rename(root / part / f"{file.parent.name}-{file.name}")
        for folder in [*(root / part).glob("*/")]:
            folder.rmdir()
    found = evaluate(run, words)
    assert "the classifier is left out: these images have no labels" in found.notes
    assert list(found.checkpoints) == ["dae"]
    with pytest.raises(ConfigError, match="found no labels, but the classifier knows 0, 1, 2"):
        evaluate(run / "classifier", words)


def test_images_that_it_was_trained_on_are_told(run):
    told = "trained on 64 of these 64 images: what is measured on them promises too much"
    assert told in evaluate(run / "dae", split="train").notes
    assert not any("trained" in note for note in evaluate(run / "dae").notes)
    again = evaluate(run, ["data.limit=null", "data.split_seed=1", "data.validation=0.5"], split="val")
    assert any(note.startswith("trained on ") for note in again.notes)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["seed=3"], "seed=3: says nothing of an evaluation; expected words for data, dae/noise, trainer"),
        (["noise=mask"], "try dae/noise=mask"),
        (["dae.noise=mask"], "groups have a slash: try dae/noise=mask"),
        (["dae/noise@dae.reference_noise=mask"], "says nothing of an evaluation"),
        (["~data.limit"], "says nothing of an evaluation"),
        (["data.limit=1,2"], "several values are several evaluations"),
        (["data.limitt=3"], "try data.limit=3"),
        (["data.limit"], "expected key=value or group=choice"),
        (["data=digit"], "there is no data 'digit'"),
        (["data=digits", "data.limitt=3"], "try data.limit=3"),
        (["data.fit=crop"], "there is no key 'fit' in data"),
        (["data.image_size=32"], "found 32, but the network takes 28"),
        (["dae/noise=block", "dae.noise.size=60"], "a square of 60 pixels has no room in 28 x 28"),
    ],
)
def test_words_that_are_refused(run, words, told):
    with pytest.raises(ConfigError) as refused:
        evaluate(run, words)
    assert told in str(refused.value)


def test_a_checkpoint_without_its_run_folder(run, tmp_path):
    alone = tmp_path / "alone.ckpt"
    shutil.copy(run / "classifier" / "best.ckpt", alone)
    with pytest.raises(ConfigError, match="no run folder lies around this checkpoint"):
        evaluate(alone)
    found, of_run = evaluate(alone, ["data=digits"]), evaluate(run / "classifier")
    assert found.figures == of_run.figures
    assert "whether the model was trained on these images is not known" in found.notes[-1]
    with pytest.raises(ConfigError, match="only an autoencoder is measured under a noise"):
        evaluate(alone, ["data=digits", "dae/noise=none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"a run folder with dae/best\.ckpt was expected"):
        evaluate(tmp_path / "empty")


def test_configs_of_the_users_own(run, tmp_path):
    (tmp_path / "dae" / "noise").mkdir(parents=True)
    (tmp_path / "dae" / "noise" / "snow.yaml").write_text("_target_: dae.models.noise.SaltPepper\np: 0.5\n")
    found = evaluate(run / "dae", ["dae/noise=snow"], config_dir=tmp_path)
    assert found.noise == {"_target_": "dae.models.noise.SaltPepper", "p": 0.5}


def test_the_table_and_json(run, capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # those of a run of before, in this process
    arguments = ["evaluate", str(run / "dae"), "dae/noise=gaussian", "dae.noise.std=0.4"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "noise        Gaussian std 0.4, as given" in lines
    assert [line.split()[0] for line in lines[-5:]][-2:] == ["dae/test/psnr", "dae/test/ssim"]
    assert main(["evaluate", str(run / "dae"), "--json", *arguments[2:]]) == 0
    found = json.loads(capsys.readouterr().out)
    psnr = found["figures"]["dae/test/psnr"]
    assert f"{psnr['value']:.4f}" in lines[-2]
    assert psnr["interval"][0] < psnr["value"] < psnr["interval"][1]
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "--jsn"])
