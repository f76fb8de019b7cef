from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dae.models.image_measures import image_losses
from dae.pictures import best_and_worst
from dae.pictures.best_and_worst import most_extreme
from dae.pictures.figures import draw_image_rows
from helpers import ONE_PASS
from outcome import Train


def test_extremes_of_batches_are_those_of_all():
    values = torch.randn(50)
    found: dict[str, torch.Tensor] = {}
    for part in torch.stack([values, torch.arange(50.0)]).split(7, dim=1):
        found = most_extreme(found, {"loss": part[0], "index": part[1]}, 4, largest=True)
    expected = values.topk(4)
    assert torch.equal(found["loss"], expected.values)
    assert torch.equal(found["index"], expected.indices.float())


def test_picked_from_all_images_and_at_the_end_with_the_weights_that_count(
    train: Train, monkeypatch: pytest.MonkeyPatch
):
    every: list[torch.Tensor] = []
    seen: list[tuple[dict[str, torch.Tensor], list[str], str]] = []

    def all_losses(logits, images):
        every.append(image_losses(logits, images).clone())
        return every[-1]

    def spy(rows, captions, title):
        seen.append((rows, captions["clean"], title))
        return draw_image_rows(rows, captions, title)

    monkeypatch.setattr(best_and_worst, "image_losses", all_losses)
    monkeypatch.setattr(best_and_worst, "draw_image_rows", spy)
    quick = (
        "stage=dae",
        "data=digits",
        "data.limit=64",
        *ONE_PASS,
        "callbacks=best_and_worst",
        "dae.epochs=2",
    )
    done = train(*quick, "callbacks.best_and_worst.count=3", "logger=none")
    assert (done.folder / "dae" / "best_and_worst.png").is_file()
    fitted, tested = seen
    assert fitted[2] == "Least and greatest loss: validation images (epoch 2)"
    assert tested[2] == "Least and greatest loss: test images (checkpoint that counts)"
    losses = [torch.cat(every[:2]), torch.cat(every[2:])]
    for (rows, captions, _), images in zip(seen, losses, strict=True):
        ordered = images.sort().values.tolist()
        expected = [*ordered[:3], *ordered[:-4:-1]]
        assert [caption.split("loss ")[1] for caption in captions] == [f"{loss:.3f}" for loss in expected]
        assert [caption.split("\n")[0] for caption in captions] == ["best"] * 3 + ["worst"] * 3
        shown = F.binary_cross_entropy(rows["reconstruction"], rows["clean"], reduction="none")
        assert torch.allclose(shown.mean((1, 2, 3)), torch.tensor(expected), atol=1e-4)
    assert losses[1].mean() == pytest.approx(done.result["metrics"]["dae/test/noisy_loss"], abs=1e-5)
