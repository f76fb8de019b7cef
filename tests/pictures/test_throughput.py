from __future__ import annotations

import re
import time

import torch

from dae.data.images import Batches
from dae.pictures.throughput import peak_memory
from helpers import ONE_PASS, events
from outcome import Train

QUICK = (
    "stage=dae",
    "data=digits",
    "data.limit=160",
    *ONE_PASS,
    "dae.epochs=2",
    "callbacks=throughput",
)


def values(folder, tag: str) -> list[float]:
    return [event.value for event in events(folder / "dae").Scalars(f"dae/train/{tag}")]


def test_speed_of_each_epoch_and_a_line_at_the_end(train: Train, monkeypatch):
    slow = Batches.__iter__

    def wait(self: Batches):
        for batch in slow(self):
            time.sleep(0.02)
            yield batch

    quick = train(*QUICK, place="quick")
    monkeypatch.setattr(Batches, "__iter__", wait)
    waiting = train(*QUICK, place="waiting")
    for done in (quick, waiting):
        seconds, speed = (values(done.folder, tag) for tag in ("seconds", "images_per_second"))
        assert [round(s * i) for s, i in zip(seconds, speed, strict=True)] == [160, 160]
        assert re.search(
            r"dae: [\d,]+ images a second, [\d.]+% of the time spent on data, peak memory", done.out
        )
    assert min(values(waiting.folder, "seconds")) >= 10 * 0.02
    assert min(values(waiting.folder, "data_share")) > max(values(quick.folder, "data_share"))


def test_peak_memory_is_that_of_the_process():
    before = peak_memory(torch.device("cpu"))
    block = torch.ones(300_000_000, dtype=torch.uint8)
    after = peak_memory(torch.device("cpu"))
    assert before is not None
    assert after is not None
    assert after >= max(before, block.numel())
