"""The schema of the whole config: its top level here, each node by the class that it names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt, with_config
from typing_extensions import TypedDict

from dae.config.compose import RESERVED, group_choices, unknown_key
from dae.errors import Problem, with_place
from dae.schema import STRICT, UnknownKey, argument_problems, locate, nodes, problems, select
from dae.text import closest_name, quoted_override


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
