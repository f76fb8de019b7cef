"""Which jobs of a comparison are shown in pictures, and what the page says if they cannot be."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from dae.report.embedded_pictures import Picture
from dae.sweeps.comparison import Comparison
from dae.sweeps.comparison_text import place
from dae.sweeps.jobs import Job

log = logging.getLogger(__name__)


def reconstructions(comparison: Comparison, allow_targets: Sequence[str] = ()) -> Picture | None:
    """Test images as each arm of the first seed reconstructs them; None if no arm has a stage 1.

    A failure costs the picture, not the page.

    Args:
        comparison: Of the sweep.
        allow_targets: Packages besides ours whose classes its jobs may name.
    """
    seed = comparison.seeds[0]
    by_others = {
        others: {
            arm: job
            for arm in comparison.arms
            if (job := comparison.jobs.get((others, seed, arm))) and _has_autoencoder(job)
        }
        for others in comparison.combinations
    }
    others = max(by_others, key=lambda each: len(by_others[each]))  # of several the first
    if not by_others[others]:
        return None
    where = f", {place(comparison, others)}" if others else ""
    try:
        # Torch, which nothing else on this page needs.
        from dae.report.arm_pictures import draw_reconstructions

        source = draw_reconstructions(by_others[others], allow_targets)
    except Exception as error:
        words = f"Test images as each arm reconstructs them could not be drawn: {error}".splitlines()[0]
        log.warning("%s", words)
        log.debug("Because of", exc_info=error)
        return Picture("", words.rstrip("."), None)
    absent = [arm for arm in comparison.arms if arm not in by_others[others]]
    without = f"; without a decoder: {', '.join(absent)}" if absent else ""
    caption = (
        "Test images, the same under the reference noise, and as each arm reconstructs those "
        f"(seed {seed}{where}){without}"
    )
    return Picture("", caption, source)


def _has_autoencoder(job: Job) -> bool:
    return (job.folder / "dae" / "best.ckpt").is_file() and (job.folder / "config.yaml").is_file()
