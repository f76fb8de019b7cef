"""Each sign on made tensors, on both sides of its limit; then real runs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dae.data.targets import mean_image, pixel_accuracy_ceiling
from dae.training.evidence import Predictions, Reconstructions, few_steps, still_improving
from dae.training.signs import LearningSigns
from helpers import ONE_PASS, QUIET, SMOKE
from outcome import Train

torch.manual_seed(0)
IMAGES = torch.rand(40, 1, 8, 8)
MEAN = IMAGES.mean(0)
NOISY = IMAGES + 0.1 * torch.randn(IMAGES.shape)


def of_reconstructions(made: torch.Tensor, under_noise: bool = True, noisy: torch.Tensor = NOISY) -> dict:
    evidence = Reconstructions(MEAN, under_noise)
    for batch in torch.arange(40).split(16):
        evidence.update(IMAGES[batch], made[batch], noisy[batch])
    return {sign.name: sign for sign in evidence.signs()}


def of_predictions(said: list[int], labels: list[int]) -> dict:
    evidence = Predictions(("cat", "dog", "cow"))
    for batch in torch.arange(len(said)).split(30):
        logits = torch.eye(3)[torch.tensor(said)[batch]]
        evidence.update(logits, torch.tensor(labels)[batch])
    return {sign.name: sign for sign in evidence.signs()}


def test_a_good_reconstruction_shows_no_sign():
    assert not of_reconstructions(IMAGES + 0.01)
    assert not of_reconstructions(IMAGES + 0.01, under_noise=False)


@pytest.mark.parametrize(("share", "shown"), [(0.09, True), (0.11, False)])
def test_a_reconstruction_that_hardly_depends_on_the_input(share, shown):
    found = of_reconstructions(MEAN + math.sqrt(share) * (IMAGES - MEAN))
    assert ("input_ignored" in found) == shown
    if shown:
        sign = found["input_ignored"]
        assert sign.value == pytest.approx(share, abs=1e-5)
        assert sign.limit == 0.1
        assert "the reconstruction hardly depends on the input" in sign.text
        assert "its variance over the test images is 0.090 of theirs, less than 0.1" in sign.text


def test_one_blob_for_all_images_varies_not_at_all():
    sign = of_reconstructions(torch.full_like(IMAGES, 0.5))["input_ignored"]
    assert sign.value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("factor", "shown"), [(1.02, True), (0.98, False)])
def test_a_reconstruction_no_better_than_the_mean_image(factor, shown):
    limit = float((IMAGES - MEAN).square().mean())
    shift = math.sqrt(factor * limit)
    found = of_reconstructions(IMAGES + shift, under_noise=False)
    assert list(found) == (["mean_image"] if shown else [])
    if shown:
        assert found["mean_image"].value == pytest.approx(factor * limit, rel=1e-4)
        assert found["mean_image"].limit == pytest.approx(limit, rel=1e-4)
        assert f"{factor * limit:.4f}, that of the mean image {limit:.4f}" in found["mean_image"].text


@pytest.mark.parametrize(("factor", "shown"), [(1.02, True), (0.98, False)])
def test_a_reconstruction_worse_than_the_noisy_input(factor, shown):
    limit = float((NOISY.clamp(0, 1) - IMAGES).square().mean())
    made = IMAGES + math.sqrt(factor * limit)
    assert list(of_reconstructions(made)) == (["worse_than_input"] if shown else [])
    assert not of_reconstructions(made, under_noise=False), "it is held to the clean images"
    assert not of_reconstructions(made, noisy=IMAGES), "a reference noise that changes nothing"
    if shown:
        sign = of_reconstructions(made)["worse_than_input"]
        assert (sign.value, sign.limit) == pytest.approx((factor * limit, limit), rel=1e-3)


@pytest.mark.parametrize(("dogs", "shown"), [(95, True), (94, False)])
def test_one_class_for_nearly_all(dogs, shown):
    labels = [0] * 34 + [1] * 33 + [2] * 33
    said = [0] * (100 - dogs) + [1] * dogs
    found = of_predictions(said, labels)
    assert list(found) == (["one_class"] if shown else [])
    if shown:
        assert (found["one_class"].value, found["one_class"].limit) == (pytest.approx(0.95), 0.95)
        assert "dog for 95.0% of the test images, of which 33.0% are" in found["one_class"].text


def test_a_class_that_nearly_all_images_are_of_may_be_said_for_nearly_all():
    assert not of_predictions([0] * 96 + [1] * 4, [0] * 92 + [1] * 8)
    assert not of_predictions([0] * 100, [0] * 100), "all of one class"


@pytest.mark.parametrize(("right", "shown"), [(50, True), (51, False)])
def test_no_better_than_the_majority_class(right, shown):
    labels = [0] * 50 + [1] * 30 + [2] * 20
    said = [label if number < right else (label + 1) % 3 for number, label in enumerate(labels)]
    found = of_predictions(said, labels)
    assert list(found) == (["majority_class"] if shown else [])
    if shown:
        assert (found["majority_class"].value, found["majority_class"].limit) == pytest.approx((0.5, 0.5))


def test_few_steps():
    assert not list(few_steps("dae", 300))
    (sign,) = few_steps("dae", 299)
    assert (sign.stage, sign.value, sign.limit) == ("dae", 299, 300)
    assert sign.text == "few optimizer steps: 299, fewer than 300"


@pytest.mark.parametrize(
    ("losses", "shown"),
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
def test_still_improving_at_the_end(losses, shown):
    signs = list(still_improving("dae", losses, losses, math.log(2)))
    assert bool(signs) == shown
    assert not list(still_improving("dae", losses, [0.1, 0.01, 0.01], math.log(2))), "nothing left to learn"
    assert all(sign.value > sign.limit == 0.05 for sign in signs)


COURSE = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.4, 0.4, 0.35, 0.3]


def test_how_late_an_improvement_came():
    (sign,) = still_improving("dae", COURSE, COURSE, 1.0)
    assert sign.value == pytest.approx(0.1 / 0.7)
    words = (
        "14.3% of all that its validation loss fell by came with the last 2 of 10 validations, more than 5%"
    )
    assert words in sign.text


def test_the_mean_image_and_the_ceiling_of_pixel_accuracy():
    images = torch.randint(0, 256, (300, 3, 8, 8), dtype=torch.uint8)
    assert torch.allclose(mean_image(images), images.float().mean(0) / 255, atol=1e-6)
    images = torch.tensor([0, 255, 1, 254, 128, 0, 0, 255]).to(torch.uint8).reshape(2, 1, 2, 2)
    assert pixel_accuracy_ceiling(images) == 5 / 8


QUICK = ("data=digits", "data.limit=100", *ONE_PASS, "dae.epochs=2", "classifier.epochs=2", *QUIET)


def signs(folder: Path) -> dict[str, dict]:
    found = json.loads((folder / "result.json").read_text())["signs"]
    return {f"{sign['stage']}/{sign['name']}": sign for sign in found}


def test_a_run_that_has_learned_little_says_so_and_has_completed(finished: Train):
    done = finished(*QUICK)
    assert done.exit_code == 0
    assert done.result["status"] == "completed"
    found = signs(done.folder)
    steps = found["classifier/few_steps"]["value"]
    assert {"dae/input_ignored", "dae/mean_image", "dae/few_steps", "classifier/few_steps"} <= set(found)
    assert steps == found["dae/few_steps"]["value"] < 300
    assert (
        f"try classifier.epochs={math.ceil(600 / steps)} or data.least_steps=150"
        in found[[name for name in found if name.startswith("classifier/")][-1]]["text"]
    )
    for sign in found.values():
        assert f"    {sign['stage']}: {sign['text']}\n" in done.out
    assert f"  Completed, but with {len(found)} signs that little was learned:\n" in done.out
    assert done.out.count("pixel accuracy is left out") == 1, "digits are grey"
    assert "pixel_accuracy 0" not in done.out, "in no line of an epoch"
    assert "dae/test/pixel_accuracy" not in done.out
    assert done.result["metrics"]["dae/test/pixel_accuracy"] > 0
    kept = {
        stage: json.loads((done.folder / stage / "stage.json").read_text()) for stage in ("dae", "classifier")
    }
    assert [*kept["dae"]["signs"], *kept["classifier"]["signs"]] == list(found.values())


def test_steps_of_a_resumed_run_count_all_and_a_stage_that_is_taken_keeps_its_signs(train: Train):
    first = train(*QUICK, "dae.epochs=1", "classifier.epochs=1").folder
    before = signs(first)
    train(f"resume={first}", "classifier.epochs=2")
    after = signs(first)
    stage1 = {name: sign for name, sign in before.items() if name.startswith("dae/")}
    assert stage1
    assert {name: sign for name, sign in after.items() if name.startswith("dae/")} == stage1
    few = "classifier/few_steps"
    assert after[few]["value"] == 2 * before[few]["value"]
    assert "dae/still_improving" not in before, "a point is no course"
    train(f"resume={first}", "dae.epochs=2")
    assert "dae/still_improving" in signs(first), "the course from before is known"


def test_jobs_that_share_a_stage_1_all_have_its_signs(train: Train):
    done = train("-m", *QUICK, "classifier=linear,random,notebook")
    by_head = {folder.name.partition("-")[2].partition("-")[0]: signs(folder) for folder in done.folders}
    assert "dae/input_ignored" in by_head["linear"]
    assert {name for name in by_head["linear"] if "dae/" in name} == {
        name for name in by_head["notebook"] if "dae/" in name
    }
    assert not any(name.startswith("dae/") for name in by_head["random"]), "its stage 1 was skipped"
    lines = [line for line in done.out.splitlines() if line.startswith("  completed: ")]
    assert len(lines) == 3
    assert all(line.endswith(" s, with signs that little was learned") for line in lines)


def test_where_nothing_was_to_be_learned_or_the_test_is_cut_there_are_no_signs(train: Train, finished: Train):
    assert not signs(train(*QUICK, "stage=dae", "dae.epochs=0").folder)
    assert not signs(finished(*SMOKE).folder), "two batches of the test set"


def test_a_run_without_noise_is_held_to_the_clean_images(train: Train):
    found = signs(train(*QUICK, "stage=dae", "dae/noise=none").folder)
    assert "dae/mean_image" in found
    assert "dae/worse_than_input" not in found


def test_a_network_that_learns_by_heart_sees_its_images_moved():
    data = SimpleNamespace(test=SimpleNamespace(labels=IMAGES), classes=("cat", "dog", "cow"))
    watch = LearningSigns(data)  # type: ignore[arg-type]
    watch.losses = [0.9, 0.8, 0.9, 1.0, 1.1]
    watch.on_fit_end(SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]
    watch.load_state_dict({"losses": [0.9, 0.8], "trained": []})  # as Lightning does before the test
    watch.evidence = Predictions(data.classes)
    watch.evidence.update(torch.eye(3)[torch.arange(40) % 3], (torch.arange(40) + 1) % 3)
    trainer = SimpleNamespace(current_epoch=5, global_step=1000)
    module = SimpleNamespace(stage="classifier", hparams={"optimizer": {"lr": 0.001}})
    (sign,) = watch.found(trainer, module)  # type: ignore[arg-type]
    assert sign.name == "majority_class"
    assert sign.text.endswith("; its validation loss has long risen again: try data.augment=2")


@pytest.mark.parametrize(
    ("steps", "losses", "advice"),
    [
        (1000, [0.5, 0.5], "try dae.optimizer.lr=0.5"),
        (1000, [0.6, 0.5], "try dae.epochs=20"),
        (20, [0.5, 0.5], "try dae.epochs=150 or data.least_steps=60"),
    ],
)
def test_a_network_that_is_dead_takes_smaller_steps_and_a_young_one_more(steps, losses, advice):
    data = SimpleNamespace(test=SimpleNamespace(labels=IMAGES), classes=())
    watch = LearningSigns(data)  # type: ignore[arg-type]
    watch.course = losses, losses
    watch.evidence = Reconstructions(MEAN, under_noise=True)
    watch.evidence.update(IMAGES, torch.ones_like(IMAGES), NOISY)
    trainer = SimpleNamespace(current_epoch=10, global_step=steps, accumulate_grad_batches=2)
    module = SimpleNamespace(stage="dae", hparams={"optimizer": {"lr": 5.0}})
    found = watch.found(trainer, module)  # type: ignore[arg-type]
    assert [sign.name for sign in found][:3] == ["input_ignored", "mean_image", "worse_than_input"]
    assert found[-1].text.endswith(f"; {advice}")
    assert sum("try" in sign.text for sign in found) == 1
