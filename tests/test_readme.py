"""The README's commands and recipes work as they stand there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from dae.cli import main
from dae.config.preflight import find_problems
from helpers import QUIET, composed
from outcome import BRIEF, REPOSITORY, Train

README = (REPOSITORY / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
LINES = [line for language, block in BLOCKS if language == "bash" for line in block.splitlines()]
SHELL = [part.strip() for line in LINES for part in line.split("&&")]
COMMANDS = [shlex.split(line, comments=True)[2:] for line in SHELL if line.startswith("python train.py")]
AT_WORK = [shlex.split(line, comments=True)[1:] for line in SHELL if line.startswith("dae ")]
# Starts processes, which takes its time: test_processes runs this one.
TWO_PROCESSES = ["data=digits", "trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu"]
# test_own_parts runs this one, with the files of the recipe.
OWN_PART = ["--config-dir", "my_conf", "data=digits", "dae/encoder=strided", "dae.encoder.width=8"]
ELSEWHERE = (TWO_PROCESSES, OWN_PART)
# Installing, pytest and TensorBoard; the rest of a shell block must be commands of ours.
OTHERS = ("pip install", "python -m venv", ". .venv", "pytest", "tensorboard", "mkdir", "echo")


# Of this study a few jobs are run here; of the others in test_experiments and test_search.
FEW_JOBS = (
    "hydra/launcher=basic",
    "seed=0",
    "classifier=notebook",
    "data.labels=null",
    "pretraining=none,denoising",
)
STUDY = "experiment=does_it_help"


def make_images(folder: Path) -> None:
    folder.mkdir(parents=True)
    for number in range(40):
        Image.new("RGB", (40, 32), (5 * number, 90, 0)).save(folder / f"{number}.jpg")


def test_a_trained_model_at_work(finished: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = finished(*BRIEF).folder
    monkeypatch.chdir(tmp_path)
    make_images(tmp_path / "IMAGES")
    for words in AT_WORK:
        assert main([str(run) if word == "RUN_FOLDER" else word for word in words]) == 0
    made = [len([*(tmp_path / folder).iterdir()]) for folder in ("noisy", "clean")]
    assert made == [40, 40]
    assert (tmp_path / "latents.npy").is_file()
    assert (tmp_path / "classifier.pt2.json").is_file()
    (lines,) = (block for language, block in BLOCKS if language == "python" and "import dae" in block)
    (tmp_path / "noisy" / "0.jpg").rename(tmp_path / "noisy.png")
    exec(lines.replace("RUN_FOLDER", str(run)), {})


def test_every_line_of_a_shell_block_is_known():
    assert len(COMMANDS) >= 10
    assert all(words in COMMANDS for words in ELSEWHERE)
    unknown = [
        line for line in SHELL if line.strip() and not line.startswith(("python train.py", "dae ", *OTHERS))
    ]
    assert not unknown


@pytest.mark.parametrize("arguments", [words for words in COMMANDS if words not in ELSEWHERE], ids=" ".join)
def test_commands(train: Train, tmp_path: Path, arguments: list[str]):
    if "--help" in arguments or "--cfg" in arguments:
        assert train(*arguments).exit_code == 0
        return
    words = " ".join(arguments)
    if "experiment=" in words and STUDY not in words and "notebook" not in words:
        assert not find_problems(composed(*arguments))
        return
    extra = ["debug=smoke"]
    # What a run does besides is the same in all of them, and tested elsewhere.
    extra += ["logger=none"] if "callbacks=" in words else QUIET
    if STUDY in words:
        extra += FEW_JOBS
    elif "seed=0,1,2" in arguments:
        extra.append("seed=0")
    if "-m" in arguments and "classifier" not in words and "labels" not in words:
        extra.append("stage=dae")
    extra += [word.replace("n_trials=3", "n_trials=1") for word in arguments if "n_trials" in word]
    if "hydra/launcher=joblib" in arguments:
        extra.append("hydra.launcher.n_jobs=1")  # in this process; test_launchers starts others
    if "data=" not in words:
        extra.append("data=digits")
    if "RUN_FOLDER" in words:
        first = train("stage=dae", *extra, place="first").folder
        arguments = [word.replace("RUN_FOLDER", str(first)) for word in arguments]
    for folder, names in (("IMAGES", ("cat", "dog")), ("UNLABELLED", (".",))):
        if f"={folder}" in words:
            for name in names:
                make_images(tmp_path / folder / name)
            arguments = [word.replace(f"={folder}", f"={tmp_path / folder}") for word in arguments]
    if "resume=auto" in arguments:
        result = train("stage=dae", *extra, place="place").folder / "result.json"
        result.write_text(result.read_text().replace('"completed"', '"interrupted"'))
        extra = []  # a run that goes on keeps its config
    done = train(*arguments, *extra, place="place")
    assert done.exit_code == 0, done.text
    assert all((folder / "result.json").is_file() for folder in done.folders)


def test_it_is_short_and_its_pictures_are_there():
    assert len(README.splitlines()) <= 180
    for picture in re.findall(r"\((\.github/images/[^)]+)\)", README):
        assert (REPOSITORY / picture).is_file()


def test_tables_and_figures_are_made_of_the_rows_that_were_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    studies = [str(folder) for folder in (REPOSITORY / ".github" / "results").iterdir() if folder.is_dir()]
    assert main(["results", *studies, "--figures", str(tmp_path)]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("|", "* "))]
    assert len(said) > 10
    assert not [line for line in said if line not in README.splitlines()]
    drawn, shown = (
        re.findall(r">([^<>\n]+)<", (folder / "does_it_help.svg").read_text())
        for folder in (tmp_path, REPOSITORY / ".github" / "images")
    )
    assert drawn == shown
