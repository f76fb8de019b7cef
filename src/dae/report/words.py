"""How figures are written, and what the metrics mean."""

from __future__ import annotations

MEANING = {
    "dae/loss": "cross-entropy per pixel in nats, of the clean input",
    "dae/pixel_accuracy": "share of pixels with round(reconstruction) = target, of the clean input",
    "dae/noisy_loss": "cross-entropy per pixel in nats, under the reference noise",
    "dae/psnr": "peak signal-to-noise ratio in dB under the reference noise, mean over images",
    "dae/ssim": "structural similarity under the reference noise, mean over images",
    "classifier/accuracy": "share of the images that are classified right",
    "classifier/loss": "cross-entropy in nats",
}
STAGES = {"dae": "Stage 1: the denoising autoencoder", "classifier": "Stage 2: the classifier"}


def meaning(metric: str) -> str:
    """What ``stage/split/name`` measures; empty if it is none of ours."""
    stage, _, rest = metric.partition("/")
    return MEANING.get(f"{stage}/{rest.rpartition('/')[2]}", "")


def figure(value: float | None) -> str:
    """Four digits behind the point, or four that count where those would hide it."""
    if value is None:
        return "–"  # noqa: RUF001
    return f"{value:.4f}" if value == 0 or abs(value) >= 1e-4 else f"{value:.3g}"


def seconds(value: float | None) -> str:
    """``1 h 02 min``, ``3 min 05 s``, ``12.3 s``."""
    if value is None:
        return "–"  # noqa: RUF001
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def counted(number: int, thing: str) -> str:
    """``1 epoch``, ``2 epochs``."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
