"""Each sign on made tensors, on both sides of its limit; then real runs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dae.models.autoencoder import DenoisingAutoencoder
from dae.models.classifier import EncoderClassifier
from dae.models.noise import Dropout, NoNoise
from dae.training.signs import LearningSigns, late_share
from helpers import ONE_PASS, QUIET, SMOKE
from outcome import Train

torch.manual_seed(0)
IMAGES = torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8)
CLEAN = IMAGES.float() / 255
MEAN = CLEAN.mean(0)
NOISY = CLEAN + 0.1 * torch.randn(CLEAN.shape)
CLASSES = ("cat", "dog", "cow")


def module(stage: str, under_noise: bool = True) -> Any:
    """A module of a stage, as far as it is looked at."""
    kind: Any = DenoisingAutoencoder if stage == "dae" else EncoderClassifier
    made = kind.__new__(kind)
    torch.nn.Module.__init__(made)
    made.noise = Dropout(0.2) if under_noise else NoNoise()
    made._device = torch.device("cpu")
    made._hparams = {"optimizer": {"lr": 5.0}}
    return made


def watched(stage: str, batches: list[tuple[Any, Any]], **options: Any) -> LearningSigns:
    """Signs that have seen a test: outputs and batches."""
    labels = torch.zeros(sum(len(batch[0]) for _, batch in batches), dtype=torch.int64)
    data = SimpleNamespace(
        train=SimpleNamespace(images=IMAGES), test=SimpleNamespace(labels=labels), classes=CLASSES
    )
    signs, of = LearningSigns(data), module(stage, **options)  # type: ignore[arg-type]
    signs.on_test_start(SimpleNamespace(), of)  # type: ignore[arg-type]
    for outputs, batch in batches:
        signs.on_test_batch_end(SimpleNamespace(), of, outputs, batch)  # type: ignore[arg-type]
    return signs


def found(signs: LearningSigns, stage: str, steps: int = 1000, **options: Any) -> dict[str, Any]:
    trainer: Any = SimpleNamespace(current_epoch=10, global_step=steps)
    return {sign.name: sign for sign in signs.found(trainer, module(stage, **options))}


def of_reconstructions(made: torch.Tensor, noisy: torch.Tensor = NOISY, **options: Any) -> dict[str, Any]:
    batches = []
    for batch in torch.arange(40).split(16):
        logits = made[batch].clamp(1e-6, 1 - 1e-6).logit()
        outputs = {"logits": logits, "clean_logits": logits, "noisy": noisy[batch]}
        batches.append((outputs, (CLEAN[batch], batch)))
    return found(watched("dae", batches, **options), "dae", **options)


def of_predictions(said: list[int], labels: list[int]) -> dict[str, Any]:
    batches = []
    for batch in torch.arange(len(said)).split(30):
        batches.append((torch.eye(3)[torch.tensor(said)[batch]], (batch, torch.tensor(labels)[batch])))
    return found(watched("classifier", batches), "classifier")


@pytest.mark.parametrize(("factor", "shown"), [(1.02, True), (0.98, False)])
def test_a_reconstruction_is_held_to_the_mean_image_and_to_the_noisy_input(factor, shown):
    """Errors that are larger, or a little smaller, than those of doing nothing clever."""
    of_mean = float((CLEAN - MEAN).square().mean())
    dark, bright = CLEAN < 0.5, math.sqrt(factor * of_mean)
    signs = of_reconstructions(torch.where(dark, CLEAN + bright, CLEAN - bright), under_noise=False)
    assert ("mean_image" in signs) == shown
    of_input = float((NOISY.clamp(0, 1) - CLEAN).square().mean())
    step = math.sqrt(factor * of_input)
    made = torch.where(dark, CLEAN + step, CLEAN - step)
    assert ("worse_than_input" in of_reconstructions(made)) == shown
    assert "worse_than_input" not in of_reconstructions(made, under_noise=False), "held to the clean images"
    assert "worse_than_input" not in of_reconstructions(made, noisy=CLEAN), "a noise that changes nothing"


@pytest.mark.parametrize(("dogs", "shown"), [(95, True), (94, False)])
def test_one_class_for_nearly_all(dogs, shown):
    signs = of_predictions([0] * (100 - dogs) + [1] * dogs, [0] * 34 + [1] * 33 + [2] * 33)
    assert ("one_class" in signs) == shown
    if shown:
        assert "dog for 95.0% of the test images, of which 33.0% are" in signs["one_class"].text


@pytest.mark.parametrize(("right", "shown"), [(50, True), (51, False)])
def test_no_better_than_the_majority_class(right, shown):
    labels = [0] * 50 + [1] * 30 + [2] * 20
    said = [label if number < right else (label + 1) % 3 for number, label in enumerate(labels)]
    assert ("majority_class" in of_predictions(said, labels)) == shown


@pytest.mark.parametrize(
    ("losses", "late"),
    [
        # Of the digits, the defaults: the autoencoder under the reference noise, the classifier.
        ([0.376, 0.356, 0.349, 0.344, 0.341, 0.340, 0.338, 0.336, 0.341, 0.334], False),
        ([0.851, 0.403, 0.275, 0.236, 0.230, 0.222, 0.149, 0.288, 0.175, 0.122], False),
        ([0.68, 0.66, 0.64, 0.62, 0.60, 0.58, 0.56, 0.54, 0.52, 0.50], True),  # a straight line
        ([0.50, 0.30], True),
        ([0.300, 0.299], False),
        ([0.50, 0.30, 0.31], False),  # the last is not the best
        ([0.50], False),  # a point is no course
        ([0.90, 0.80], False),  # worse than nothing
        ([], False),
    ],
)
def test_still_improving_at_the_end(losses, late):
    assert (late_share(losses, math.log(2)) > 0.05) == late


@pytest.mark.parametrize(
    ("steps", "losses", "advice"),
    [
        (1000, [0.5, 0.4, 0.5], "try dae.optimizer.lr=0.5"),
        (1000, [0.6, 0.5], "try dae.epochs=20"),
        (20, [0.5, 0.5], "try dae.epochs=150"),
    ],
)
def test_the_last_sign_says_what_most_likely_helps(steps, losses, advice):
    outputs = {"logits": torch.full_like(CLEAN, 9), "clean_logits": CLEAN, "noisy": NOISY}
    signs = watched("dae", [(outputs, (CLEAN, torch.zeros(40)))])
    signs.course = losses, losses
    shown = [*found(signs, "dae", steps).values()]
    assert [sign.name for sign in shown][:2] == ["mean_image", "worse_than_input"]
    assert shown[-1].text.endswith(f"; {advice}")
    assert sum("try" in sign.text for sign in shown) == 1


QUICK = ("data=digits", "data.limit=100", *ONE_PASS, "dae.epochs=2", "classifier.epochs=2", *QUIET)


def signs(folder: Path) -> dict[str, dict]:
    found = json.loads((folder / "result.json").read_text())["signs"]
    return {f"{sign['stage']}/{sign['name']}": sign for sign in found}


def test_a_run_that_has_learned_little_says_so_and_has_completed(finished: Train):
    done = finished(*QUICK)
    assert done.exit_code == 0
    assert done.result["status"] == "completed"
    told = signs(done.folder)
    steps = told["classifier/few_steps"]["value"]
    assert {"dae/mean_image", "dae/few_steps", "classifier/few_steps"} <= set(told)
    assert steps == told["dae/few_steps"]["value"] < 300
    last = [name for name in told if name.startswith("classifier/")][-1]
    assert f"try classifier.epochs={math.ceil(600 / steps)}" in told[last]["text"]
    for sign in told.values():
        assert f"    {sign['stage']}: {sign['text']}\n" in done.out
    assert f"  Completed, but with {len(told)} signs that little was learned:\n" in done.out
    kept = {
        stage: json.loads((done.folder / stage / "stage.json").read_text()) for stage in ("dae", "classifier")
    }
    assert [*kept["dae"]["signs"], *kept["classifier"]["signs"]] == list(told.values())


def test_where_nothing_was_to_be_learned_or_the_test_is_cut_there_are_no_signs(train: Train, finished: Train):
    assert not signs(train(*QUICK, "stage=dae", "dae.epochs=0").folder)
    assert not signs(finished(*SMOKE).folder), "two batches of the test set"


def test_a_run_without_noise_is_held_to_the_clean_images(train: Train):
    told = signs(train(*QUICK, "stage=dae", "dae/noise=none").folder)
    assert "dae/mean_image" in told
    assert "dae/worse_than_input" not in told
