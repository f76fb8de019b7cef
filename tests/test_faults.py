"""Kills, damaged and hostile files, odd images: none ends in a traceback or a wrong result.

The long form, marked ``faults``: ``pytest -n 0 -m faults``.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from dae.errors import CheckpointError, UserError
from dae.runs.checkpoint import load_encoder, read, read_content, write_content
from helpers import ONE_PASS, SMOKE, draw_images, launch_beside
from outcome import BRIEF, Train

# Kills

KILLED = ("data=digits", "data.limit=100", "logger=csv", "callbacks=none", "threads=1", *ONE_PASS)
PLACES = {
    "run": ("hydra.run.dir=run", "dae.epochs=6", "classifier.epochs=6"),
    "sweep": ("-m", "hydra.sweep.dir=sweep", "dae.epochs=3", "classifier.epochs=2", "classifier.hidden=8,16"),
    "search": (
        *(
            "-m",
            "hydra/sweeper=optuna",
            "hydra.sweep.dir=search",
            "hydra.sweeper.sampler._target_=optuna.samplers.BruteForceSampler",
        ),
        *("hydra.sweeper.n_trials=3", "dae.noise.p=choice(0.1,0.2,0.3)", "dae.epochs=2"),
        "classifier.epochs=2",
    ),
}
KILLS = 10


def outcome(place: Path) -> dict[str, object]:
    """How each run below a folder has ended."""
    results = {file.parent: json.loads(file.read_text()) for file in place.glob("**/result.json")}
    return {
        str(folder.relative_to(place)): (result["status"], result["metrics"], result["signs"])
        for folder, result in results.items()
    }


def go_on(folder: Path, kind: str) -> list[str]:
    begun = kind == "run" and (folder / "run" / "config.yaml").is_file()
    return ["resume=run"] if begun else [*PLACES[kind], *KILLED]


@pytest.mark.faults
@pytest.mark.parametrize("kind", PLACES)
def test_what_is_killed_at_any_moment_and_gone_on_with_comes_to_the_same(kind, tmp_path):
    # Forked from a process that has imported everything, so that a start takes no time.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["helpers", "dae.run", "dae.launch", "dae.report.run_page", "optuna"])
    draw = random.Random(kind)

    def launched(folder: Path, *words: str) -> ForkServerProcess:
        process = processes.Process(target=launch_beside, args=(folder, folder / "said.txt", words))
        process.start()
        return process

    def ended(process: ForkServerProcess, *codes: int) -> None:
        process.join(120)
        assert process.exitcode in codes

    whole = tmp_path / "whole"
    whole.mkdir()
    ended(launched(whole, *go_on(whole, kind)), 0)
    began = time.monotonic()
    shutil.rmtree(whole / kind)
    ended(launched(whole, *go_on(whole, kind)), 0)  # the first one also started the server
    took, expected = time.monotonic() - began, outcome(whole)
    done, attempts = 0, itertools.count()
    while done < KILLS:
        folder = tmp_path / f"attempt-{next(attempts)}"
        folder.mkdir()
        kills = 0
        while True:
            process = launched(folder, *go_on(folder, kind))
            process.join(draw.uniform(0, took if done + kills < KILLS else 10 * took + 60))
            if process.exitcode is not None:
                ended(process, 0)
                break
            process.kill()
            ended(process, -signal.SIGKILL, 0)
            kills += 1
        assert "Traceback" not in (folder / "said.txt").read_text()
        assert outcome(folder) == expected, folder
        assert not [file for file in (folder / kind).rglob(".*.????????") if file.parent.name != kind]
        done += kills


LEFT = "from dae.runs.process import leave_quietly; leave_quietly(); print('on', flush=True)"


def test_ctrl_c_leaves_without_a_traceback_in_the_imports(tmp_path):
    code = f"{LEFT}; import time; time.sleep(60)"
    pipe = subprocess.PIPE
    early = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=pipe, stderr=pipe, text=True)
    assert early.stdout is not None
    assert early.stdout.readline() == "on\n"
    early.send_signal(signal.SIGINT)
    assert (early.wait(), *early.communicate()) == (130, "", "")


# Checkpoints and saved configs of somebody else: data, of which nothing is run


class _Runs:
    """A pickle that runs a command when it is opened."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.file}",)


@pytest.fixture
def run(finished: Train, tmp_path: Path) -> Path:
    """A copy of a finished run, to be damaged."""
    folder = tmp_path / "run"
    shutil.copytree(finished(*BRIEF, "callbacks=none", "logger=none").folder, folder)
    return folder


def test_a_checkpoint_runs_no_code(run, tmp_path):
    """Neither when it is opened nor by what it names, at whatever place."""
    file, touched = run / "dae" / "best.ckpt", tmp_path / "touched"
    content = read_content(file)
    torch.save({**content, "callbacks": _Runs(touched)}, file)
    with pytest.raises(CheckpointError, match="no checkpoint of plain values"):
        load_encoder(run)
    for target in (
        "os.system",
        "subprocess.run",
        "dae.runs.process.os.system",
        "torch.load",
        "builtins.exec",
    ):
        for described in (
            {"_target_": target, "command": f"touch {touched}"},
            {**content["hyper_parameters"]["encoder"], "widths": {"_target_": target, "command": "x"}},
            {**content["hyper_parameters"]["encoder"], "_target_": [target]},
            {"_target_": "dae.models.networks.ConvEncoder", "_args_": [f"${{oc.env:{target}}}"]},
        ):
            changed = {**content["hyper_parameters"], "encoder": described}
            write_content(file, {**content, "hyper_parameters": changed})
            with pytest.raises(CheckpointError):
                load_encoder(run)
    assert not touched.exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("callbacks", {"mine": {"_target_": "os.system", "command": "touch touched"}}),
        ("logger", {"mine": {"_target_": "subprocess.getoutput", "cmd": "touch touched"}}),
        ("data", {"_target_": "evil.Data"}),
        ("name", "${oc.env:HOME}"),
        ("allow_targets", ["os"]),
    ],
)
def test_a_saved_config_runs_no_code(train: Train, run, key, value):
    config = yaml.safe_load((run / "config.yaml").read_text())
    if key == "allow_targets":
        config["callbacks"] = {"mine": {"_target_": "os.system", "command": "touch touched"}}
    config[key] = value
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    (run / "result.json").unlink()
    done = train(f"resume={run}")
    assert done.exit_code == 2
    assert "Traceback" not in done.text
    assert "expected plain values" in done.text or "only classes of dae" in done.text
    assert not (done.place / "touched").exists()


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_checkpoint_is_told(run, seed):
    """By the checksums of its zip file, which torch does not look at; some bytes belong to no part of it."""
    file, draw = run / "dae" / "best.ckpt", random.Random(seed)
    before, whole = read(file).tensors, bytearray(file.read_bytes())
    place = draw.randrange(len(whole))
    changed = whole[:place] if seed % 3 == 0 else whole
    if seed % 3:
        changed[place] ^= 1 << draw.randrange(8)
    file.write_bytes(changed)
    try:
        after = read(file).tensors
    except CheckpointError:
        return
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("name", ["config.yaml", "run.json", "result.json", "dae/stage.json"])
def test_a_damaged_file_of_a_run_is_told_or_made_anew(train: Train, run, name):
    file = run / name
    before = json.loads((run / "result.json").read_text())["metrics"]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    done = train(f"resume={run}", "classifier.epochs=1")
    assert "Traceback" not in done.text
    if done.exit_code:
        assert name.rpartition("/")[2] in done.text
    else:
        assert json.loads((run / "result.json").read_text())["metrics"] == before


# Images


def odd_images() -> dict[str, bytes]:
    """Files that are no whole image, by their names."""
    png = Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30))
    place = Path(os.environ.get("TMPDIR", "/tmp")) / f"odd-{os.getpid()}.png"
    png.save(place)
    whole = place.read_bytes()
    place.unlink()
    return {
        "empty.png": b"",
        "text.jpg": b"no image",
        "cut.png": whole[: len(whole) // 2],
        "flipped.png": whole[:60] + bytes([whole[60] ^ 255]) + whole[61:],
        "script.png": b"%!PS-Adobe-3.0\n(touched) (w) file closefile\n",
        "page.gif": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    }


def test_odd_images_are_named_or_left_out(train: Train, tmp_path):
    for label in ("a", "b"):
        draw_images(tmp_path / "images" / label, 12, mode="L")
    for name, content in odd_images().items():
        (tmp_path / "images" / "a" / name).write_bytes(content)
    words = ("data=image_folder", f"data.root={tmp_path / 'images'}", *SMOKE[1:])
    refused = train(*words)
    assert refused.exit_code == 1
    assert "Traceback" not in refused.text
    for name in odd_images():
        assert name in refused.text
    left_out = train(*words, "data.bad_images=skip", place="skip")
    assert left_out.exit_code == 0, left_out.text
    assert f"{len(odd_images())} files in" in left_out.text


def test_a_user_error_shows_what_a_terminal_would_obey():
    assert "\x1b" not in str(UserError("\x1b[2J"))
