"""What Weights & Biases and MLflow are given, read back from their own files."""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import Logger

from dae.config import rules
from dae.errors import ConfigError, UserError
from dae.files import DamagedFileError
from dae.models.autoencoder import DenoisingAutoencoder
from dae.runs.owner import link_problems
from dae.runs.saved_config import saved_problems
from dae.runs.stage_result import discard_stage
from dae.training.trackers import kept_id, sweep_and_run
from helpers import composed
from outcome import BRIEF, Train

Curves = dict[str, list[tuple[int, float]]]


@pytest.mark.parametrize("extra", ["wandb", "mlflow"])
def test_a_package_that_is_missing_is_told_before_anything_is_read(extra, monkeypatch):
    from dae.config.settings import check_config

    monkeypatch.setattr(rules, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as refused:
        check_config(composed(f"logger={extra}"))
    assert [(problem.where, problem.hint) for problem in refused.value.problems] == [
        (f"logger.{extra}", f"pip install -e '.[{extra}]'")
    ]
    check_config(composed("logger=[tensorboard,csv]"))


class NoAccount(Logger):
    """A logger that cannot begin."""

    name = version = None

    def __init__(self, save_dir: Path) -> None:
        raise ValueError(f"no account for {save_dir.name}")

    def log_metrics(self, metrics: Any, step: int | None = None) -> None: ...

    def log_hyperparams(self, params: Any) -> None: ...


def test_a_logger_that_cannot_begin_ends_the_run_in_words(train: Train):
    words = ["+logger.own._target_=training.test_trackers.NoAccount", "+logger.own._partial_=true"]
    done = train(*BRIEF, "callbacks=none", "logger=none", *words)
    assert (done.exit_code, "Traceback" in done.text) == (1, False)
    assert "a logger cannot begin: ValueError: no account for dae" in done.text


def test_a_run_is_named_after_its_folders(tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "multirun.yaml").touch()
    assert sweep_and_run(tmp_path / "run" / "dae") == (None, "run")
    assert sweep_and_run(tmp_path / "sweep" / "job" / "dae") == ("sweep", "sweep/job")
    assert sweep_and_run(tmp_path / "sweep" / "stage1" / "p-0.1" / "dae") == ("sweep", "sweep/stage1/p-0.1")


def test_an_id_is_kept_as_long_as_there_is_something_to_go_on_with(tmp_path):
    file = tmp_path / "wandb.id"
    assert kept_id(file) is None
    file.write_text("0123abcd")
    assert kept_id(file) == "0123abcd"
    discard_stage(tmp_path)
    assert kept_id(file) is None
    file.write_text("../../elsewhere")
    with pytest.raises(DamagedFileError, match=r"wandb\.id cannot be read: it is no id of a run\. Delete it"):
        kept_id(file)


def test_the_link_that_wandb_leaves_is_no_hindrance(tmp_path):
    logs = tmp_path / "run" / "dae" / "wandb" / "offline-run-1" / "logs"
    logs.mkdir(parents=True)
    (logs / "debug-core.log").symlink_to(tmp_path / "cache.log")
    assert not [*link_problems(tmp_path / "run")]
    (logs.parent / "files").symlink_to(tmp_path)
    assert len([*link_problems(tmp_path / "run")]) == 1


def records(file: Path) -> Iterator[Any]:
    """The records of a file of wandb's: 7 bytes, then blocks of 32 kB in the format of LevelDB."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, whole = file.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if 2**15 - place % 2**15 < 7:  # no room for a header in this block
            place += 2**15 - place % 2**15
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # all of it, or its last part
            yield Record.FromString(whole)
            whole = b""


def test_a_store_elsewhere_is_not_taken_from_a_folder_unasked(tmp_path):
    node = {"_target_": "dae.training.trackers.MLFlowLogger", "tracking_uri": "http://elsewhere:5000"}
    config = {"logger": {"mlflow": node}}
    (found,) = saved_problems(config, tmp_path, [])
    assert (found.where, "leads out of the run folder" in found.what) == ("logger.mlflow.tracking_uri", True)
    assert not [*saved_problems(config, tmp_path, ["dae"])]


def of_wandb(folder: Path) -> tuple[list[dict[str, Any]], Curves, dict[str, Any]]:
    """The runs that the files in a stage's folder begin, what was logged in all of them, the last summary."""

    def values(items: Any) -> dict[str, Any]:
        return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}

    runs: list[dict[str, Any]] = []
    curves: Curves = defaultdict(list)
    summary: dict[str, Any] = {}
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        runs.append({"config": {}})
        for record in records(file):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                names = ("run_id", "run_group", "job_type", "tags")
                runs[-1] |= {name: getattr(record.run, name) for name in names}
                runs[-1]["config"] |= values(record.run.config.update)
            elif kind == "config":
                runs[-1]["config"] |= values(record.config.update)
            elif kind == "history":
                row = values(record.history.item)
                for name, value in row.items():
                    curves[name].append((row.get("trainer/global_step", -1), value))
            elif kind == "summary":
                summary |= values(record.summary.update)
            elif kind == "exit":
                runs[-1]["exit"] = record.exit.exit_code
    return runs, curves, summary


def of_mlflow(place: Path, stage: str) -> tuple[Any, Curves]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{place}/mlflow.db")
    experiment = client.get_experiment_by_name("lightning-dae")
    (run,) = client.search_runs([experiment.experiment_id], f"tags.stage = '{stage}'")
    histories = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
    return run, {name: [(each.step, each.value) for each in found] for name, found in histories.items()}


def assert_as_in(metrics: dict[str, float], stage: str, curves: Curves, epochs: int) -> None:
    """Each validation metric has a point an epoch, and the metrics that count are the last of theirs."""
    for name in metrics:
        if name.startswith(f"{stage}/val/"):
            assert [step for step, _ in curves[name]] == list(range(1, epochs + 1)), name
        last = curves[f"result/{name}" if "/val/" in name else name][-1] if name.startswith(stage) else None
        assert last is None or last[1] == pytest.approx(metrics[name])


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    pytest.importorskip("mlflow")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


WORDS = (*BRIEF, "callbacks=none", "logger=[wandb,mlflow]")


@pytest.mark.extras
@pytest.mark.usefixtures("offline")
def test_both_stages_and_what_goes_on(train: Train):
    folder = train(*WORDS).folder
    metrics = json.loads((folder / "result.json").read_text())["metrics"]
    for stage in ("dae", "classifier"):
        (run,), curves, summary = of_wandb(folder / stage)
        assert_as_in(metrics, stage, curves, epochs=1)
        final = {name: summary[name] for name in metrics if name.startswith(f"{stage}/test/")}
        assert final == pytest.approx({name: metrics[name] for name in final})
        assert len(final) >= 3
        assert (run["run_group"], run["job_type"], run["exit"]) == (folder.name, stage, 0)
        assert ([*run["tags"]], run["config"]["dae"]["noise"]["p"]) == ([], 0.2)
        tracked, curves = of_mlflow(folder.parents[1], stage)
        assert_as_in(metrics, stage, curves, epochs=1)
        assert (tracked.info.status, tracked.data.tags["run"]) == ("FINISHED", folder.name)
        assert (tracked.data.params["dae.noise"], tracked.data.params["dae.epochs"]) == ("Dropout", "1")

    done = train(f"resume={folder}", "dae.epochs=2")
    assert done.exit_code == 0, done.text
    metrics = json.loads((folder / "result.json").read_text())["metrics"]
    (first, second), curves, _ = of_wandb(folder / "dae")
    assert first["run_id"] == second["run_id"]
    assert_as_in(metrics, "dae", curves, epochs=2)
    tracked, curves = of_mlflow(folder.parents[1], "dae")
    assert_as_in(metrics, "dae", curves, epochs=2)
    assert (tracked.info.status, tracked.data.params["dae.epochs"]) == ("FINISHED", "1")
    assert tracked.data.tags["dae.epochs"] == "2"


@pytest.mark.extras
@pytest.mark.usefixtures("offline")
def test_a_sweep_whose_job_is_interrupted_and_one_whose_job_fails(train: Train, monkeypatch):
    def stopped(*_: Any) -> torch.Tensor:
        raise KeyboardInterrupt

    monkeypatch.setattr(DenoisingAutoencoder, "training_step", stopped)
    assert train("-m", *WORDS, "stage=dae", "seed=3,4", "hydra.sweep.dir=swept").exit_code == 130
    (stage,) = Path("swept").glob("*/dae")
    ((run, *_), _, _) = of_wandb(stage)
    assert (run["exit"], [*run["tags"]], run["run_group"]) == (130, ["swept"], f"swept/{stage.parent.name}")
    tracked, _ = of_mlflow(Path.cwd(), "dae")
    assert (tracked.info.status, tracked.data.tags["sweep"]) == ("KILLED", "swept")

    def failed(self: Trainer, *_: Any, **__: Any) -> None:
        raise UserError("no luck")

    monkeypatch.setattr(Trainer, "fit", failed)
    assert train(*WORDS, "stage=dae", place="other").exit_code == 1
    assert of_mlflow(Path.cwd(), "dae")[0].info.status == "FAILED"
    ((run,), _, _) = of_wandb(next(Path("outputs").glob("*/dae")))
    assert run["exit"] == 1


@pytest.mark.extras
@pytest.mark.usefixtures("offline")
def test_a_store_that_does_not_know_the_run(train: Train):
    folder = train(*WORDS, "logger=mlflow", "stage=dae").folder
    (folder / "dae" / "mlflow.id").write_text("0" * 32)
    done = train(f"resume={folder}", "dae.epochs=2")
    assert (done.exit_code, "Traceback" in done.text) == (1, False)
    assert f"log to a new run: rm outputs/{folder.name}/dae/mlflow.id" in done.text
