from __future__ import annotations

import re

import torch

from dae.runs.checkpoint import read
from helpers import ONE_PASS, SMOKE
from outcome import BRIEF, Train


def test_running_means_of_frozen_stages_stay_and_those_of_trained_ones_move(train: Train):
    deep = ("dae/encoder=resnet", "dae/decoder=resnet", "dae.encoder.widths=[4,4,4]")
    done = train(*BRIEF, *deep, "callbacks=none", "logger=none")
    assert done.exit_code == 0, done.text
    before, after = (read(done.folder, stage).tensors for stage in ("dae", "classifier"))
    buffers = [name for name in after if name.startswith("encoder.") and "running" in name]
    assert len(buffers) == 3 * 3 * 2
    for name in buffers:
        assert torch.equal(before[name], after[name]) == (not name.startswith("encoder.blocks.2.")), name
        assert before[name].unique().numel() > 1, name  # stage 1 has moved them


def test_a_second_model_checkpoint_works_beside_ours(train: Train):
    own = "pytorch_lightning.callbacks.ModelCheckpoint"
    second = (
        f"+callbacks.mine={{_target_: {own}, save_top_k: -1, every_n_train_steps: 2, filename: '{{step}}'}}"
    )
    done = train("data=digits", "data.limit=64", *ONE_PASS, *SMOKE[2:], "stage=dae", second, "dae.epochs=2")
    assert done.exit_code == 0, done.text
    assert done.result["status"] == "completed"
    assert len([*(done.folder / "dae").rglob("step*.ckpt")]) >= 2


def test_frozen_weights_that_a_callback_changes_are_told_and_not_resumed(train: Train):
    """As the checkpoint that counts holds them: where Lightning averages weights, memory holds others."""
    ema = "+callbacks.ema={_target_: pytorch_lightning.callbacks.EMAWeightAveraging, update_every_n_steps: 1}"
    averaged = train(*SMOKE, ema)
    assert averaged.exit_code == 1
    assert "frozen tensors changed during the fit: sha256" in averaged.text
    assert "Traceback" not in averaged.text
    assert train(f"resume={averaged.folder}").exit_code == 1
    assert train(*SMOKE, ema, "classifier.trainable_blocks=all", place="free").exit_code == 0


def test_a_line_an_epoch_with_all_that_is_known(train: Train):
    done = train(*SMOKE, "dae.epochs=3", "classifier.epochs=1")
    lines = [line for line in done.out.splitlines() if re.match(r"(dae|classifier) epoch ", line)]
    assert len(lines) == 4
    for number, line in enumerate(lines[:3], 1):
        assert line.startswith(f"dae epoch {number}/3")
        assert re.search(r"train: loss \d\.\d{4}  val: loss \d\.\d{4} .*psnr", line)
    assert re.search(r"train: accuracy [\d.]+ balanced_accuracy [\d.]+ loss [\d.]+  val: accuracy", lines[3])
    assert lines[0].split("val:")[0] != lines[1].split("val:")[0]


def test_the_first_lines_are_what_is_run_on_which_data_and_the_first_epoch(train: Train):
    first = train(*SMOKE, "stage=dae").out.splitlines()
    assert [line.split(":")[0] for line in first[:3]] == ["Run folder", "Data", "dae"]
    assert first[3].startswith("dae epoch 1/")
