from __future__ import annotations

import json

from helpers import ONE_PASS, SMOKE
from outcome import Train

WILD = (
    "data=digits",
    "data.limit=200",
    *ONE_PASS,
    "dae.epochs=3",
    "logger=none",
    "callbacks=none",
    "dae/optimizer=sgd",
)


def test_a_loss_that_is_no_number_ends_the_run_at_once(train: Train):
    done = train(*WILD, "stage=dae", "dae.optimizer.lr=1e30")
    assert done.exit_code == 1
    assert done.result["status"] == "failed"
    assert "dae diverged: its loss is nan at step" in done.result["error"]
    assert "(epoch 1), with a learning rate of 1e+30" in done.result["error"]
    assert "try dae.optimizer.lr=0.001, or trainer.gradient_clip_val=1.0" in done.err + done.out
    assert "Traceback" not in done.text


def test_the_other_jobs_of_a_sweep_go_on(train: Train):
    done = train("-m", *SMOKE, "dae/optimizer=sgd", "dae.optimizer.lr=1e30,0.01", "stage=dae")
    assert done.exit_code == 1
    ends = {}
    for folder in done.folders:
        result = json.loads((folder / "result.json").read_text())
        ends[result["status"]] = result["error"]
    assert "diverged" in ends["failed"]
    assert ends["completed"] is None
