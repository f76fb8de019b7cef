"""What a config says: which stages run and what decides; the schema of its top level and of each node.

``pretraining`` names the arms of the question that the project is for: ``denoising`` and ``plain`` train
stage 1 with noise and without it; ``none`` leaves the encoder as it was initialised, which is the very one
that the other two start from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt, with_config
from typing_extensions import TypedDict

from dae import metrics
from dae.config.compose import RESERVED, group_choices, unknown_key
from dae.errors import Problem, with_place
from dae.schema import STRICT, UnknownKey, argument_problems, locate, nodes, problems, select
from dae.text import closest_name, quoted_override

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


def _names_a_class(node: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(node.get("_target_"), str):
        raise ValueError("a node with _target_, the name of a class")
    return node


Node = Annotated[dict[str, Any], AfterValidator(_names_a_class)]


@with_config(STRICT)
class DaeSettings(TypedDict):
    """Stage 1."""

    encoder: Node
    decoder: Node
    noise: Node
    reference_noise: Node
    optimizer: Node
    scheduler: Node
    epochs: NonNegativeInt
    warm_start: str | None
    share: bool


@with_config(STRICT)
class ClassifierSettings(TypedDict):
    """Stage 2."""

    encoder: Literal["pretrained", "random", "none"]
    encoder_checkpoint: str | None
    trainable_blocks: NonNegativeInt | Literal["all"]
    hidden: PositiveInt | None
    optimizer: Node
    scheduler: Node
    epochs: NonNegativeInt
    choose: Literal["best", "last"]


@with_config(STRICT)
class Settings(TypedDict):
    """The whole config."""

    stage: Literal["both", "dae", "classifier", "data"]
    seed: NonNegativeInt
    name: Annotated[str, Field(pattern=r"^[\w.-]+$")] | int | None
    pretraining: Literal["denoising", "plain", "none"]
    objective: str
    compare: str | None
    allow_targets: list[str]
    threads: PositiveInt | Literal["auto"]
    resume: None
    data: Node
    dae: DaeSettings
    classifier: ClassifierSettings
    trainer: Node
    callbacks: dict[str, Node]
    logger: dict[str, Node]


def schema_problems(config: dict[str, Any]) -> Iterator[Problem]:
    """What does not fit: unknown, missing and misfit keys, classes that are not there, all of it.

    Args:
        config: As plain values.
    """
    for problem in problems(Settings, config):
        yield _advised(problem, config)
    for path, node in nodes(config):
        try:
            target = locate(str(node["_target_"]))
        except Exception as error:  # whatever a package does when it is imported
            group = path.replace(".", "/")
            offered = ", ".join(group_choices(group) or group_choices(group.rpartition("/")[0]))
            hint = f"choose one of the group: {offered}" if offered else ""
            yield Problem(
                f"{path}._target_", f"{node['_target_']!r} cannot be had: {with_place(error)}", hint
            )
            continue
        for key in node.keys() & RESERVED if path == "trainer" else ():
            yield Problem(f"{path}.{key}", RESERVED[key])
        given = {key: value for key, value in node.items() if path != "trainer" or key not in RESERVED}
        if path in ("dae.encoder", "dae.decoder"):  # with_sizes adds arguments, and the dry build looks again
            given["_partial_"] = True
        for problem in argument_problems(target, given, path):
            yield _advised(problem, config)


def _advised(problem: Problem, config: dict[str, Any]) -> Problem:
    """The problem with what was most likely meant."""
    path, value = problem.where, select(config, problem.where)
    if isinstance(problem, UnknownKey):
        return unknown_key(config, path, value)
    group = path.replace(".", "/")
    if not isinstance(value, dict) and (offered := group_choices(group)):
        meant = closest_name(str(value), offered)
        what = f"found {value!r}, expected a choice of the group {group} ({', '.join(offered)})"
        return Problem(
            path, what, f"groups have a slash: try {quoted_override(group, meant)}" if meant else ""
        )
    return problem
