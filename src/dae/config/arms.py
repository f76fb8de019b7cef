"""What ``stage`` and ``pretraining`` mean for a run: which stages run, on what noise, and what decides.

``pretraining`` names the arms of the question that the project is for: ``denoising`` and ``plain`` train
stage 1 with noise and without it; ``none`` leaves the encoder as it was initialised, which is the very one
that the other two start from.
"""

from __future__ import annotations

from typing import Any

from dae import metrics

# Named and not imported: pages are made without torch.
NO_NOISE = {"_target_": "dae.models.noise.NoNoise"}


def stages_to_run(config: Any) -> list[str]:
    """The stages that run, in their order; with ``stage=both`` stage 1 only if stage 2 uses it."""
    if config["stage"] == "data":
        return []
    if config["stage"] != "both":
        return [config["stage"]]
    used = uses_pretrained(config) and config["classifier"]["encoder_checkpoint"] is None
    return ["dae", "classifier"] if used else ["classifier"]


def uses_pretrained(config: Any) -> bool:
    """Whether stage 2 works on an encoder that a stage 1 has trained."""
    return config["classifier"]["encoder"] == "pretrained" and config["pretraining"] != "none"


def training_noise(config: Any) -> Any:
    """The description of the noise that stage 1 is trained with."""
    return NO_NOISE if config.get("pretraining") == "plain" else config["dae"]["noise"]


def is_denoising(config: Any) -> bool:
    """Whether stage 1 is trained with noise, whichever keys say so."""
    return training_noise(config)["_target_"] != NO_NOISE["_target_"]


def pretraining_word(config: Any) -> str:
    """What stage 1 does if it runs: ``denoising`` or ``plain``."""
    return "denoising" if is_denoising(config) else "plain"


def arm_words(config: Any) -> list[str]:
    """What a printed command needs to be of the same arm: another one would not read its encoder."""
    return [] if is_denoising(config) else ["pretraining=plain"]


def objective_of(config: Any) -> metrics.Metric:
    """The metric that the run is judged by."""
    stages, denoising = stages_to_run(config), is_denoising(config)
    return metrics.objective(config["objective"], stages, denoising, config["callbacks"])


def monitor_for(config: Any, stage: str) -> metrics.Metric | None:
    """The metric that decides which epoch of a stage counts; None if nothing is chosen."""
    last = stage == "classifier" and config["classifier"]["choose"] == "last"
    if config["data"]["validation"] == "test" or last:
        return None
    return metrics.monitor(stage, objective_of(config), is_denoising(config))
