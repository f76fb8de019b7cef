"""How many optimizer steps a stage will have, and how it comes to them."""

from __future__ import annotations

from dae.data.batches import Batches
from dae.words import counted


def steps_in_words(epochs: int, batches: Batches, limit: int | float, accumulated: int) -> str:
    """``1,080 optimizer steps: 10 epochs of 108 (4 passes over 216 images in batches of 8)``.

    Args:
        epochs: Of the stage.
        batches: Of an epoch.
        limit: ``trainer.limit_train_batches``: a number of batches, or a share of them.
        accumulated: ``trainer.accumulate_grad_batches``: batches a step; an epoch ends with a step.
    """
    used = min(limit, len(batches)) if isinstance(limit, int) else int(limit * len(batches))
    steps = -(-used // accumulated)
    images = f"{counted(batches.count, 'image')} in batches of {batches.batch_size}"
    reasons = [images if batches.passes == 1 else f"{batches.passes} passes over {images}"]
    if used < len(batches):
        reasons.append(f"trainer.limit_train_batches={limit} leaves {used:,} of {len(batches):,} batches")
    if accumulated > 1:
        reasons.append(f"{accumulated} batches a step: trainer.accumulate_grad_batches")
    total = counted(epochs * steps, "optimizer step")
    return f"{total}: {counted(epochs, 'epoch')} of {steps:,} ({', '.join(reasons)})"
