"""One run on two processes: what one process would have come to, alone, in a sweep and resumed."""

from __future__ import annotations

import json
import os

import pytest
import torch

from dae.data.batches import Batches
from dae.runs.checkpoint import content_hash, read
from helpers import ONE_PASS, SMOKE
from outcome import Train

# Without noise both come to the same, but for the order of sums.
SAME = ("data=digits", "logger=none", "callbacks=none", "dae/noise=none", "trainer.precision=32-true")
TWO = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "trainer.precision=32-true")


def shares(count: int, batch_size: int, world_size: int) -> list[list[torch.Tensor]]:
    images = torch.arange(count)
    found = []
    for rank in range(world_size):
        torch.manual_seed(5)
        found.append([labels for _, labels in Batches(images, images, batch_size, True, rank, world_size)])
    return found


def test_shares_are_disjoint_even_and_together_what_one_process_draws():
    alone, *_ = shares(22, 4, 1)
    first, second = shares(22, 4, 2)
    assert [len(labels) for labels in first] == [len(labels) for labels in second] == [2, 2, 2, 2, 2, 1]
    for whole, *parts in zip(alone, first, second, strict=True):
        assert sorted(whole.tolist()) == sorted(torch.cat(parts).tolist())


def test_an_uneven_rest_is_left_out():
    found = shares(23, 4, 2)
    assert {len(labels) for share in found for labels in share} == {2, 1}
    drawn = torch.cat([labels for share in found for labels in share])
    assert len(drawn) == len(drawn.unique()) == 22
    assert len(Batches(torch.zeros(23), torch.zeros(23), 4, True, 0, 2)) == len(found[0]) == 6


def test_each_process_has_noise_of_its_own():
    draws = []
    for rank in range(2):
        torch.manual_seed(5)
        next(iter(Batches(torch.zeros(8), torch.zeros(8), 4, True, rank, 2)))
        draws.append(torch.rand(3))
    assert not torch.equal(*draws)


def test_two_processes_come_to_what_one_does(train: Train):
    names = ("LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT", "OMP_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    # An even number of images: else one is left out.
    short = (
        "data.limit=640",
        *ONE_PASS,
        "dae.epochs=1",
        "classifier.epochs=2",
        "+callbacks.count._target_=helpers.CountsImages",
    )
    alone = train(*SAME, *short, place="alone")
    both = train(*SAME, *short, *TWO, place="both")
    assert alone.exit_code == both.exit_code == 0, both.text
    assert both.result["metrics"] == pytest.approx(alone.result["metrics"], rel=2e-3)
    for stage in ("dae", "classifier"):
        counts = [int((both.folder / stage / f"seen-{rank}").read_text()) for rank in (0, 1)]
        (once,) = (int(file.read_text()) for file in (alone.folder / stage).glob("seen-*"))
        assert counts[0] == counts[1]
        assert sum(counts) == once
    assert {name: os.environ.get(name) for name in names} == before
    assert not torch.distributed.is_initialized()
    assert json.loads((both.folder / "dae" / "stage.json").read_text())["epochs"] == 1


@pytest.mark.long  # six processes, of which each takes its time to import everything
def test_in_a_sweep_and_resumed(train: Train):
    auto = ("data.image_size=auto", "data.channels=auto")  # the workers are told what it came to
    swept = train("-m", "seed=0", "stage=dae", *SMOKE, *TWO, *auto, place="sweep")
    assert swept.exit_code == 0, swept.text
    assert len(swept.folders) == 1
    assert len(list(swept.place.glob("multirun/*"))) == 1
    assert not list(swept.place.glob("outputs/*"))

    # Its first job goes on, and comes to what it would have without a stop.
    measuring = "callbacks=[probe,robustness]"
    whole = train("stage=dae", *SMOKE, *TWO, "dae.epochs=2", measuring, place="whole")
    assert whole.exit_code == 0, whole.text
    assert whole.result["metrics"].keys() >= {"dae/val/probe_accuracy", "dae/test/psnr_block"}
    resumed = train(f"resume={swept.folders[0]}", "dae.epochs=2", place="sweep")
    assert resumed.exit_code == 0, resumed.text
    folders = (whole.folder, swept.folders[0])
    ends = [content_hash(read(folder / "dae" / "last.ckpt").tensors) for folder in folders]
    assert ends[0] == ends[1]


@pytest.mark.long  # the one above is told by the same words
def test_a_worker_that_fails_ends_the_run_in_words(train: Train):
    failing = "+callbacks.failing._target_=helpers.FailsInTheSecond"
    done = train("stage=dae", *SMOKE, *TWO, failing)
    assert done.exit_code == 1
    assert "a process that trains along has ended with exit code 1" in done.text
    assert "the second process has no luck" in done.text
    assert done.result["status"] == "failed"


def test_what_cannot_be_shared_is_refused(train: Train):
    done = train(*SMOKE, *TWO, "data.batch_size=15", "trainer.devices=2")
    assert done.exit_code == 2
    assert "data.batch_size: found 15 for the whole run, which 2 devices cannot share evenly" in done.text
    assert "try data.batch_size=16" in done.text
