"""A package of a user's own: its parts train, resume, sweep; what reads them later is told whom to trust."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

import dae
from dae.errors import CheckpointError
from dae.runs.checkpoint import read
from outcome import REPOSITORY, Train

OWN = ("data=bars", "dae/encoder=strided", "dae/decoder=dense", "dae/noise=speckle", "dae/optimizer=heavy")
ALLOWED = "allow_targets=[my_package]"


@pytest.fixture
def smoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """A package and a folder of configs lie where the user stands; the words that name them."""
    shutil.copytree(REPOSITORY / "tests" / "own_parts", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in [name for name in sys.modules if name.startswith("my_package")]:
        monkeypatch.delitem(sys.modules, name)
    return ("--config-dir", str(tmp_path / "my_conf"), "debug=smoke", "logger=none")


def test_parts_of_a_users_own_package(train: Train, smoke: tuple[str, ...]):
    done = train(*smoke, *OWN, "callbacks=norms", "classifier=finetune")
    assert done.exit_code == 0, done.text
    assert "allow_targets=[my_package]" in done.text.partition("go on")[2]
    run = done.folder
    too_many = train(*smoke, *OWN, "classifier.trainable_blocks=3")
    assert "found 3, but the encoder has 1 block: expected 0 to 1, or all" in too_many.text
    with pytest.raises(CheckpointError, match=r"allow_targets=\[my_package\]"):
        dae.load_encoder(run)
    assert type(dae.load_encoder(run, allow_targets=["my_package"]).encoder).__name__ == "Strided"

    again = ("data=bars", "stage=classifier", f"classifier.encoder_checkpoint={run}", "callbacks=none")
    refused = train(*smoke, *again)
    assert refused.exit_code == 1
    assert "'allow_targets=[my_package]'" in refused.text
    assert train(*smoke, *again, ALLOWED).exit_code == 0
    resumed = train(f"resume={run}", "classifier.epochs=2")
    assert resumed.exit_code == 2
    assert "'allow_targets=[my_package]'" in resumed.text
    assert train(f"resume={run}", "classifier.epochs=2", ALLOWED).exit_code == 0
    assert read(run, "classifier").epochs >= 1

    swept = train("-m", *smoke, "data=bars", "data.source.count=40,60", "stage=dae", "callbacks=none")
    assert swept.exit_code == 0, swept.text
    assert len([*swept.place.glob("multirun/*/count-*/result.json")]) == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("data=bars", "data.source._target_=my_pakage.bars"), "cannot be had: No module named 'my_pakage'"),
        (("dae/encoder=stided", "data=digits"), "try dae/encoder=strided"),
    ],
)
def test_mistakes_are_told_before_anything_runs(train: Train, smoke: tuple[str, ...], words, told):
    refused = train(*smoke, *words)
    assert refused.exit_code == 2
    assert told in refused.text


def test_the_recipe_of_the_readme(train: Train, smoke: tuple[str, ...], tmp_path: Path):
    readme = (REPOSITORY / "README.md").read_text()
    section = readme[readme.index("## Your own parts") :]
    (code,) = re.findall(r"```python\n# (\S+)\n(.*?)```", section, re.DOTALL)
    (config,) = re.findall(r"echo '(.*)' > (\S+)$", section, re.MULTILINE)
    for name, text in (code, config[::-1]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (command,) = re.findall(r"^python train.py (--config-dir .*)$", section, re.MULTILINE)
    done = train(*command.split(), "debug=smoke", "callbacks=none", "logger=none", "stage=dae")
    assert done.exit_code == 0, done.text
