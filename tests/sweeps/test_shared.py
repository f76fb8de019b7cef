from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from dae.runs.checkpoint import content_hash, read, write_content
from dae.runs.record import StageResult, finished_stage
from dae.sweeps.shared import shared_stage, stage1_digest
from helpers import ONE_PASS, composed
from outcome import Outcome, Train

QUICK = (
    "data=digits",
    "data.limit=100",
    *ONE_PASS,
    "dae.epochs=1",
    "classifier.epochs=1",
    "callbacks=none",
    "logger=none",
)


def plain(*overrides: str) -> Any:
    return OmegaConf.to_container(composed(*overrides), resolve=True)


@pytest.mark.parametrize(
    ("override", "same"),
    [
        ("data.labels=10", True),
        ("data.labels_seed=5", True),
        ("classifier.choose=last", True),
        ("compare=classifier", True),
        ("pretraining=plain", False),
        ("classifier.hidden=32", True),
        ("classifier.optimizer.lr=0.1", True),
        ("logger=none", True),
        ("objective=classifier/val/loss", True),
        ("objective=dae/val/psnr", False),  # it decides stage 1's best epoch
        ("callbacks=early_stopping", False),
        ("seed=1", False),
        ("data.limit=10", False),
        ("dae.noise.p=0.3", False),
        ("dae/noise=gaussian", False),
        ("trainer.precision=32-true", False),
    ],
)
def test_only_what_stage_1_depends_on_parts_jobs(override, same):
    assert (stage1_digest(plain(), "code") == stage1_digest(plain(override), "code")) == same


def test_with_a_probe_stage_1_depends_on_the_labels():
    """Its accuracy is a result of stage 1, and may decide which epoch counts."""
    few, more = (plain("callbacks=probe", f"data.labels={labels}") for labels in (10, 20))
    assert stage1_digest(few, "code") != stage1_digest(more, "code")


def test_another_version_of_the_code_is_another_stage_1():
    assert stage1_digest(plain(), {"commit": "a"}) != stage1_digest(plain(), {"commit": "b"})


def shared_folders(done: Outcome) -> list[Path]:
    return sorted(done.place.glob("multirun/*/stage1/*"))


def fits(done: Outcome, stage: str = "dae") -> int:
    return done.logs.count(f"{stage} epoch 1/1")


SWEPT = ("-m", *QUICK, "data.labels=20,50", "classifier.hidden=8,16")


def test_a_sweep_over_stage_2_trains_one_stage_1(finished: Train):
    done = finished(*SWEPT)
    assert done.exit_code == 0
    assert (fits(done), fits(done, "classifier")) == (1, 4)
    (place,) = shared_folders(done)
    assert not list(place.rglob("result.json"))
    for job in done.folders:
        result = json.loads((job / "result.json").read_text())
        assert (job / result["shared_from"]).resolve() == place.resolve()
        assert result["metrics"]["dae/test/psnr"] > 0
        assert (job / "dae" / "best.ckpt").read_bytes() == (place / "dae" / "best.ckpt").read_bytes()


def test_a_job_that_shares_is_the_same_job_alone(train: Train):
    done = train("-m", *QUICK, "data.labels=20,50", place="sweep")
    alone = train(*QUICK, "data.labels=50", place="alone")
    assert alone.result["shared_from"] is None
    shared = next(job for job in done.folders if "labels-50" in job.name)
    for stage in ("dae", "classifier"):
        hashes = {content_hash(read(run / stage / "best.ckpt").tensors) for run in (shared, alone.folder)}
        assert len(hashes) == 1
    assert json.loads((shared / "result.json").read_text())["metrics"] == alone.result["metrics"]


def test_a_job_goes_on_by_itself(train: Train):
    """Its copy of stage 1 is enough, wherever it lies."""
    job = train("-m", *QUICK, "data.labels=20", place="sweep").folder
    before = json.loads((job / "result.json").read_text())
    for file in (job / "result.json", *(job / "classifier").iterdir()):
        file.unlink()
    done = train(f"resume={job.rename(job.parents[3] / 'alone')}", place="sweep")
    assert (done.exit_code, done.text.count("dae epoch"), done.text.count("classifier epoch")) == (0, 0, 1)
    after = json.loads((job.parents[3] / "alone" / "result.json").read_text())
    assert all(after[key] == before[key] for key in ("status", "metrics", "shared_from"))


def test_a_continued_sweep_takes_what_is_there(train: Train):
    sweep = ("-m", *QUICK, "hydra.sweep.dir=sweep")
    train(*sweep, "data.labels=20")
    (finished,) = Path("sweep").glob("*labels-20*")
    before = (finished / "result.json").read_text()
    done = train(*sweep, "data.labels=20,50", "name=again")
    assert (fits(done), fits(done, "classifier")) == (1, 2), "of both commands together"
    assert (finished / "result.json").read_text() == before
    (other,) = set(Path("sweep").glob("*labels-*")) - {finished}
    assert other.name.startswith("labels-50-")
    assert f"1 of 2: {finished.name}: was completed before: classifier/val/accuracy" in done.out


def _train(place: Path) -> StageResult:
    """Takes its time, and leaves a line for each time that it was needed."""
    found = finished_stage(place / "dae", 1)
    if found is None:
        time.sleep(0.3)
        with (place / "trained").open("a") as file:
            file.write("once\n")
        found = StageResult({"dae/val/loss": 0.5}, place / "dae" / "best.ckpt", 0.3, 1)
        found.checkpoint.parent.mkdir(exist_ok=True)
        how = {"preprocessing": {"image_size": 28, "channels": 1}}
        write_content(found.checkpoint, {"state_dict": {}, "hyper_parameters": how})
        found.save()
    return found


def _job(place: Path, job: Path) -> None:
    job.mkdir()
    shared_stage(place, job, _train)


def test_parallel_jobs_wait_for_each_other(tmp_path):
    place, folders = tmp_path / "stage1" / "a", [tmp_path / f"job{number}" for number in range(3)]
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_job, args=(place, folder)) for folder in folders]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert (place / "trained").read_text() == "once\n"
    weights = (place / "dae" / "best.ckpt").read_bytes()
    assert all((folder / "dae" / "best.ckpt").read_bytes() == weights for folder in folders)
    found = finished_stage(folders[0] / "dae", 1)
    assert found is not None
    assert found.shared_from == "../stage1/a"
