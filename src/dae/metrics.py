"""The names of the metrics, which way each is better, and which one decides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Mode = Literal["min", "max"]

METRICS: dict[str, dict[str, Mode]] = {
    "dae": {"loss": "min", "pixel_accuracy": "max", "noisy_loss": "min", "psnr": "max", "ssim": "max"},
    "classifier": {"accuracy": "max", "balanced_accuracy": "max", "loss": "min"},
}
STAGES = tuple(METRICS)
# Key and default level of each kind of noise, by the name of its file in conf/dae/noise.
NOISE_LEVELS: dict[str, tuple[str, float]] = {
    "dropout": ("p", 0.2),
    "gaussian": ("std", 0.3),
    "salt_pepper": ("p", 0.2),
    "mask": ("p", 0.2),
    "block": ("size", 8),
}
# What a callback measures besides, by its name in ``callbacks``.
OF_CALLBACKS: dict[str, dict[str, Mode]] = {
    "probe": {"dae/val/probe_accuracy": "max", "dae/test/probe_accuracy": "max"},
    "robustness": {f"dae/test/psnr_{kind}": "max" for kind in NOISE_LEVELS},
}
MEANING = {
    "dae/loss": "cross-entropy per pixel in nats, of the clean input",
    "dae/pixel_accuracy": "share of pixels with round(reconstruction) = target; grey ones are never equal",
    "dae/noisy_loss": "cross-entropy per pixel in nats, under the reference noise",
    "dae/psnr": "peak signal-to-noise ratio in dB under the reference noise, mean over images",
    "dae/ssim": "structural similarity under the reference noise, mean over images",
    "dae/probe_accuracy": "share of the images that a ridge regression on the latents classifies right",
    **{
        f"dae/psnr_{kind}": f"PSNR in dB under {kind} noise of {key} {level}, mean over robustness.images"
        for kind, (key, level) in NOISE_LEVELS.items()
    },
    "classifier/accuracy": "share of the images, without noise, that are classified right",
    "classifier/balanced_accuracy": "the share that is classified right of each class, mean over the classes",
    "classifier/loss": "cross-entropy in nats",
}
# What decides where the objective does not. A denoiser is judged by denoising: by the loss of the clean input
# an epoch of 22.4 dB was chosen before one of 24.6.
MONITORS = {"dae": "dae/val/noisy_loss", "classifier": "classifier/val/accuracy"}
MONITOR_WITHOUT_NOISE = "dae/val/loss"
# What looks wrong at first in the metrics of stage 1.
NOISY_BELOW_CLEAN = "(noisy_loss lies below loss: a denoiser is trained on no clean image)"
PSNR_BY_NOISE = "(psnr_<noise> is of fewer test images than psnr, under another draw of the noise)"


@dataclass(frozen=True)
class Metric:
    """A metric ``stage/split/name`` and the direction in which it is better."""

    name: str
    mode: Mode


def metrics_of(stages: list[str], callbacks: Iterable[str] = ()) -> dict[str, Metric]:
    """All metrics that these stages, with these callbacks, measure on validation and test.

    Args:
        stages: Their names.
        callbacks: Their names in the config.
    """
    names = {
        f"{stage}/{split}/{name}": mode
        for stage in stages
        for split in ("val", "test")
        for name, mode in METRICS[stage].items()
    }
    for callback in callbacks:
        brought = OF_CALLBACKS.get(callback, {})
        names |= {name: mode for name, mode in brought.items() if name.partition("/")[0] in stages}
    return {name: Metric(name, mode) for name, mode in names.items()}


def objective(name: str, stages: list[str], denoising: bool, callbacks: Iterable[str] = ()) -> Metric:
    """What the run is judged by; ``auto`` is the monitor of the last stage that runs.

    Args:
        name: A metric, or ``auto``.
        stages: That run.
        denoising: Whether stage 1 is trained with noise.
        callbacks: Their names in the config.
    """
    known = metrics_of(stages, callbacks)
    asked = _monitor(stages[-1], denoising) if name == "auto" else name
    # A callback of the user's own may measure what nobody else knows of.
    return known.get(asked, Metric(asked, "min" if asked.endswith(("loss", "error")) else "max"))


def monitor(stage: str, judged_by: Metric, denoising: bool) -> Metric:
    """What decides the stage's best epoch: the objective if it is its own, on validation."""
    own = judged_by.name.startswith(f"{stage}/val/")
    return judged_by if own else metrics_of([stage])[_monitor(stage, denoising)]


def _monitor(stage: str, denoising: bool) -> str:
    return MONITORS[stage] if denoising or stage != "dae" else MONITOR_WITHOUT_NOISE


def meaning(metric: str) -> str:
    """What ``stage/split/name`` measures; empty if it is none of ours."""
    stage, _, rest = metric.partition("/")
    return MEANING.get(f"{stage}/{rest.rpartition('/')[2]}", "")
