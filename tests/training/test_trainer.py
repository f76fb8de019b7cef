from __future__ import annotations

import inspect
import json

import pytest
import torch
import yaml
from pytorch_lightning import Trainer
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from dae.config.compose import RESERVED, conf_folder
from dae.evaluation import evaluate
from dae.runs.checkpoint import content_hash, read
from dae.training.callbacks import StageCheckpoint
from dae.training.trainer import best_precision, device_type
from helpers import ONE_PASS, SMOKE


@pytest.mark.parametrize(("computes", "chosen"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_is_bf16_where_the_processor_computes_in_it(monkeypatch, computes, chosen):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: computes)
    assert best_precision("cpu") == chosen


def test_what_is_measured_is_float32_whatever_is_trained_in(train):
    """Each metric of both stages and of the callbacks, against float32's of the same weights."""
    callbacks = "callbacks=[probe,robustness]"
    brief = ("data=digits", "debug=smoke", "logger=none", callbacks, "data.limit=200")
    trained = train(*brief, "trainer.precision=bf16-mixed")
    again = ("trainer.precision=32-true", "dae.epochs=0", f"dae.warm_start={trained.folder}", "stage=dae")
    measured = train(*brief, *again, place="float32")
    (plain,) = (json.loads(file.read_text()) for file in measured.place.glob("outputs/*/result.json"))
    words = [f"trainer.{key}={value}" for key, value in (("precision", "32-true"), ("limit_test_batches", 2))]
    tested = evaluate(trained.folder, words)
    expected = plain["metrics"] | {name: figure.value for name, figure in tested.figures.items()}
    found = trained.result["metrics"]
    assert {"dae/val/probe_accuracy", "dae/test/psnr_mask", "classifier/test/loss"} <= expected.keys()
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-6)


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"accelerator=cuda, but this machine has .*cpu"):
        device_type("cuda")


def test_every_argument_of_lightnings_trainer_is_in_conf_or_refused_with_a_word():
    listed = yaml.safe_load((conf_folder() / "trainer" / "auto.yaml").read_text())
    given = {key for key in listed if not key.startswith("_")}
    refused = RESERVED.keys() - {"folder"}
    assert not given & refused
    assert given | refused == set(inspect.signature(Trainer).parameters)


def test_a_share_below_one_batch_is_refused_before_training(train):
    """Lightning notices when that loop begins, after all training."""
    done = train("data=digits", "debug=smoke", "logger=none", "stage=dae", "trainer.limit_test_batches=0.01")
    assert done.exit_code == 2
    assert "trainer.limit_test_batches: found 0.01, less than one of the 3 batches of dae" in done.out


def test_the_best_validation_may_lie_within_an_epoch(train, monkeypatch):
    """Judged by something that gets worse."""
    seen = []
    original = StageCheckpoint.on_validation_end

    def note(self, trainer, module):
        seen.append((float(trainer.callback_metrics["dae/val/psnr"]), content_hash(module.state_dict())))
        original(self, trainer, module)

    monkeypatch.setattr(StageCheckpoint, "on_validation_end", note)
    worse = (
        "objective=dae/val/psnr",
        "dae.optimizer.lr=0.02",
        "data.limit=200",
        *ONE_PASS,
        "trainer.limit_train_batches=4",
    )
    done = train(*SMOKE, "stage=dae", *worse, "trainer.val_check_interval=0.5")
    (within, at_end), best = seen, read(done.folder / "dae" / "best.ckpt")
    assert within[0] > at_end[0]
    assert (best.metrics["dae/val/psnr"], content_hash(best.tensors)) == within
    assert best.epochs == 1
    assert content_hash(read(done.folder / "dae" / "last.ckpt").tensors) == at_end[1]
    assert done.result["metrics"]["dae/val/psnr"] == within[0]


def test_what_a_cluster_has_left_in_the_environment_is_not_this_runs(train, monkeypatch):
    """A task of an allocation, or the rank of somebody else's process group."""
    left = {"SLURM_NTASKS": "4", "SLURM_PROCID": "2", "RANK": "3", "LOCAL_RANK": "3", "NODE_RANK": "1"}
    for name, value in {**left, "SLURM_JOB_NAME": "train", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", 3)  # as Lightning reads it when it is imported
    done = train(*SMOKE, "stage=dae", "logger=csv")
    assert done.exit_code == 0
    assert (done.folder / "dae" / "last.ckpt").is_file()
    assert "dae/val/loss" in (done.folder / "dae" / "metrics.csv").read_text()
