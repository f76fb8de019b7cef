from __future__ import annotations

from functools import wraps

import pytest
import torch

from dae.data.batches import Batches
from dae.data.image_set import Split
from dae.models.optimization import cosine
from dae.training.steps import steps_in_words
from helpers import SMOKE
from outcome import Train


@pytest.mark.parametrize(
    ("least", "limit", "accumulated", "words"),
    [
        (1, 1.0, 1, "270 optimizer steps: 10 epochs of 27 (216 images in batches of 8)"),
        (100, 1.0, 1, "1,080 optimizer steps: 10 epochs of 108 (4 passes over 216 images in batches of 8)"),
        (
            100,
            3,
            2,
            "20 optimizer steps: 10 epochs of 2 (4 passes over 216 images in batches of 8, "
            "trainer.limit_train_batches=3 leaves 3 of 108 batches, 2 batches a step: "
            "trainer.accumulate_grad_batches)",
        ),
        (
            1,
            0.5,
            1,
            "130 optimizer steps: 10 epochs of 13 (216 images in batches of 8, "
            "trainer.limit_train_batches=0.5 leaves 13 of 27 batches)",
        ),
        (
            1,
            1,
            1,
            "10 optimizer steps: 10 epochs of 1 (216 images in batches of 8, "
            "trainer.limit_train_batches=1 leaves 1 of 27 batches)",
        ),
    ],
)
def test_steps_in_words(least, limit, accumulated, words):
    split = Split(torch.zeros(216, 1, 1, 1, dtype=torch.uint8), torch.zeros(216))
    batches = Batches(split, 8, True, least=least)
    assert steps_in_words(10, batches, limit, accumulated) == words


def test_what_is_said_is_what_is_done_and_what_the_schedule_is_laid_out_for(train: Train, monkeypatch):
    """Stage 1 by its images, stage 2 by its labelled ones."""
    laid_out = []

    @wraps(cosine)
    def watched(optimizer, total_steps, **arguments):
        laid_out.append(total_steps)
        return cosine(optimizer, total_steps, **arguments)

    monkeypatch.setattr("dae.models.optimization.cosine", watched)
    done = train(
        *SMOKE,
        "dae/scheduler=cosine",
        "classifier/scheduler=cosine",
        "trainer.limit_train_batches=1.0",
        "trainer.accumulate_grad_batches=3",
        "data.limit=40",
        "data.labels=1/class",
        "data.least_steps=5",
        "data.batch_size=16",
    )
    assert done.exit_code == 0, done.text
    assert "dae: 2 optimizer steps: 1 epoch of 2 (2 passes over 40 images in batches of 16, " in done.out
    assert (
        "classifier: 2 optimizer steps: 1 epoch of 2 (5 passes over 10 images in batches of 10, " in done.out
    )
    assert laid_out[-2:] == [2, 2], "after the check has tried it"
    assert [
        torch.load(done.folder / stage / "last.ckpt", weights_only=True)["global_step"]
        for stage in ("dae", "classifier")
    ] == laid_out[-2:]
