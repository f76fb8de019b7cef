from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from dae.models.autoencoder import DenoisingAutoencoder
from helpers import SMOKE
from outcome import REPOSITORY


def test_what_does_not_fit_is_told_together(train):
    """Hydra stops at the first word that it cannot compose; what it has composed is looked at as a whole."""
    done = train("+dae.nois.p=0.2", "classifier.epochs=ten", "+dae.optimizer.lrr=1")
    assert done.exit_code == 2
    assert done.out.startswith("3 things are wrong with this command:")
    for words in ("try dae.noise.p=0.2", "found 'ten', expected a valid integer", "try dae.optimizer.lr=1"):
        assert words in done.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dae.optimizer.lrr=1"], "try dae.optimizer.lr=1"),
        (["data=mnsit"], "there is no data 'mnsit', expected one of digits, fashion_mnist, image_folder"),
        (["data=mnsit"], "try data=mnist"),
        (["dat=mnist"], "try data=mnist"),
        (["dae/nois=dropout"], "try dae/noise=dropout"),
        (["data=digits", "seed=0,1"], "try python train.py -m data=digits seed=0,1"),
        (["callbacks=[pictures,early]"], "try callbacks=early_stopping"),
        (["foo"], "expected key=value or group=choice"),
        (["trainer.max_epochs=3"], "dae.epochs, classifier.epochs"),
        (["data.root=a(b"], "if it is one text, try 'data.root=\"a(b\"'"),
        (["dae.noise.std=0.4"], "try dae/noise=gaussian dae.noise.std=0.4"),
        (["callbacks=pictures,curves"], "a list is 'callbacks=[pictures,curves]'"),
        (["seed=1", "--data", "digits"], "--data: there is no such flag; settings are written key=value"),
        (["-m", "data=mnist,mnsit", "seed=0,1"], "try data=mnist"),
        (["-m", "data=mnist,digits", "dae.optimizer.lrr=1"], "try dae.optimizer.lr=1"),
        (["data=digits", "--multirun", "seed=0,1", "classifier=liner"], "try classifier=linear"),
        (["-m", "dae.noise.pp=0.1,0.2"], "try dae.noise.p=0.1,0.2"),
        (["-m", "experiment=does_it_help,notebook"], "does_it_help is a sweep of its own"),
        (["-m", "dae.noise.p=interval(0,1)"], "try -m hydra/sweeper=optuna"),
        (["hydra.sweeper.nonsense=1"], "hydra.sweeper.nonsense"),
        (["seed.x=1"], "seed.x: there is no key 'x' in seed"),
        (["~callbacks.nothing"], "'callbacks.nothing' does not exist"),
        (["name=a/b"], "name='a/b' is no word"),
        (["-m", "name=a,b"], "name"),
        (["-m", "seed=0,1", "hydra.sweep.subdir=x"], "hydra.sweep.subdir"),
    ],
)
def test_what_hydra_cannot_compose(train, arguments, words):
    done = train(*arguments)
    assert done.exit_code == 2
    assert words in done.err
    assert "Traceback" not in done.text
    assert not list(done.place.iterdir()), "a command that cannot be composed creates nothing"


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("+dae.nois.p=0.2", "try dae.noise.p=0.2"),
        ("classifier.epochs=ten", "found 'ten', expected a valid integer"),
        ("dae.noise=gaussian", "try dae/noise=gaussian"),
        ("classifier.encoder_checkpoint=nowhere", "nowhere: no such file or folder"),
    ],
)
def test_a_composed_config_that_is_refused_leaves_its_result(train, argument, words):
    done = train(argument)
    assert done.exit_code == 2
    assert words in done.out
    assert "Traceback" not in done.text
    assert done.result["status"] == "failed"
    assert words in done.result["error"]
    assert {file.name for file in done.folder.iterdir()} == {".hydra", "train.log", "result.json"}


def test_a_sweep_goes_on_past_a_refused_job(train):
    done = train("-m", "dae.noise.p=0.1,7", *SMOKE)
    assert done.exit_code == 1
    statuses = {
        folder.name: json.loads((folder / "result.json").read_text())["status"] for folder in done.folders
    }
    assert sorted(statuses.values()) == ["completed", "failed"]
    (failed,) = (name for name, status in statuses.items() if status == "failed")
    assert failed.startswith("p-7-")
    assert f"1 of 2 jobs failed:\n  {failed}" in done.err


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "train.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)  # type: ignore[call-overload]


def test_help_is_a_page_for_a_newcomer():
    page = run("--help").stdout
    for words in (
        "stage 1",
        "stage 2",
        "dae/noise: block, dropout, gaussian",
        "experiment: baselines, best",
    ):
        assert words in page
    assert page.count("  python train.py ") >= 10


@pytest.mark.parametrize("flag", [["--help"], ["--cfg", "job"], ["hydra/sweeper=optuna", "--cfg", "job"]])
def test_torch_is_not_imported_to_answer(flag):
    """It takes seconds."""
    code = (
        "import sys; from dae.launch import launch\n"
        f"try: launch({flag!r})\nexcept SystemExit: pass\n"
        "print('HEAVY', [name for name in ('torch', 'sklearn', 'optuna') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "HEAVY []" in done.stdout


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_stopped_says_so(train, monkeypatch, number, exit_code):
    step = DenoisingAutoencoder.training_step

    def stopped(self: DenoisingAutoencoder, batch: Any, index: int) -> torch.Tensor:
        if self.trainer.global_step == 4:  # in the second epoch
            signal.raise_signal(number)
        return step(self, batch, index)

    monkeypatch.setattr(DenoisingAutoencoder, "training_step", stopped)
    done = train(*SMOKE, "dae.epochs=500")
    assert done.exit_code == exit_code
    assert "epoch 1/500" in done.out
    assert "Traceback" not in done.text
    assert done.result["status"] == "interrupted"


def test_an_error_of_the_code_is_shown_with_its_traceback(train, monkeypatch):
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("broken on purpose")

    monkeypatch.setattr("dae.run.train_autoencoder", broken)
    done = train(*SMOKE)
    assert done.exit_code == 1
    assert "Traceback" in done.out
    assert done.result["status"] == "failed"
    assert done.result["error"] == "ZeroDivisionError: broken on purpose"


def test_two_runs_never_share_a_folder(train):
    train("data=digits", "classifier.epochs=ten")
    time.sleep(0.01)
    done = train("data=digits", "classifier.epochs=ten")
    assert len(done.folders) == 2
    assert train("data=digits", "classifier.epochs=ten", "name=mine", place="b").folder.name.endswith("-mine")


def test_a_second_command_in_one_folder_is_refused_before_it_writes(train):
    """What a run is, is read from its folder: another command's overrides are none of it."""
    place = ("hydra.run.dir=run", *SMOKE, "stage=dae")
    again = (*place, "dae.noise.p=0.1")
    assert train(*again).exit_code == 0
    folder = Path("run")
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    done = train(*place, "dae/noise=gaussian")
    assert done.exit_code == 2
    assert "a run of another config has begun in this folder" in done.text
    after = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert after == before
    assert "taken as it is: completed" in train(*again).text


@pytest.mark.usefixtures("untrained")
def test_a_sweep_that_goes_on_takes_no_job_of_another_config(train):
    """As where a file of the user's has been edited in between, which shows in no override."""
    words = ["-m", *SMOKE, "stage=dae", "hydra.sweep.dir=sweep"]
    assert train(*words).exit_code == train(*words).exit_code == 0
    (file,) = Path("sweep").glob("*/config.yaml")
    file.write_text(file.read_text().replace("p: 0.2", "p: 0.5"))
    done = train(*words)
    assert done.exit_code == 1
    assert "dae.noise.p: saved 0.5, now 0.2" in done.text + (file.parent / "train.log").read_text()
    assert json.loads((file.parent / "result.json").read_text())["status"] == "completed"


@pytest.mark.parametrize("name", ["my conf, (1) = ü", "plain"])
@pytest.mark.parametrize("behind", [False, True])
def test_a_folder_of_configs_of_any_name_and_at_any_place(train, name, behind):
    folder = train("--help").place / name
    (folder / "dae" / "noise").mkdir(parents=True)
    (folder / "dae" / "noise" / "snow.yaml").write_text("_target_: dae.models.noise.SaltPepper\np: 0.5\n")
    words = [*SMOKE, "stage=dae", "dae/noise=snow"]
    option = ["--config-dir", str(folder)]
    done = train(*(words + option if behind else option + words))
    assert done.exit_code == 0, done.text
    assert "p: 0.5" in (done.folder / "config.yaml").read_text()
    assert "try dae/noise=snow" in train(*option, *words[:-1], "dae/noise=snwo", place="b").text
    assert "(keys: _target_, p)\n      try dae.noise.p=0.1" in train(*option, *words, "dae.noise.pp=0.1").text


@pytest.mark.parametrize(
    "scheduler",
    [
        "{_target_: torch.optim.lr_scheduler.StepLR, _partial_: true, step_size: 1, gamma: 0.1}",
        "{_target_: torch.optim.lr_scheduler.ReduceLROnPlateau, _partial_: true, patience: 0}",
    ],
)
def test_torchs_own_schedules_work(train, scheduler):
    done = train(*SMOKE, "stage=dae", "dae.epochs=3", f"+dae.scheduler={scheduler}")
    assert done.exit_code == 0, done.text


def test_a_metric_of_a_users_callback_may_decide(train):
    mine = "+callbacks.mine._target_=helpers.LogsMine"
    done = train(*SMOKE, "stage=dae", "dae.epochs=2", mine, "objective=dae/val/mine")
    assert done.exit_code == 0, done.text
    assert done.result["objective"]["name"] == "dae/val/mine"
