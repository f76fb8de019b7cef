"""What a checkpoint of ours holds, field by field: anything else is told before it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor

from dae.data.preprocessing import Preprocessing
from dae.errors import CheckpointError
from dae.keys import leaves
from dae.shapes import in_short, nodes, plain_problem
from dae.signatures import wrong_value
from dae.words import path_from_here

_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
_REQUIRED = ("state_dict", "hyper_parameters")
# Plain fields and their annotations; those of Lightning as far as it relies on them without a look.
_PLAIN: dict[str, Any] = {
    "hyper_parameters": dict[str, Any],
    "metrics": dict[str, float],
    "epochs": NonNegativeInt,
    "seconds": Annotated[float, Field(ge=0, le=1e9)],
    "stopped": Literal["", "stopped", "pruned"],
    "epoch": NonNegativeInt,
    "global_step": NonNegativeInt,
    "loops": dict[str, Any],
    "pytorch-lightning_version": Annotated[str, Field(pattern=r"^[2-9]\.\d+(\.\w+)*$")],
}
# Of hyper_parameters: what is used of them. The others say how the weights were trained.
_USED: dict[str, Any] = {
    "encoder": dict[str, Any] | None,
    "decoder": dict[str, Any] | None,
    "head": dict[str, Any] | None,
    "reference_noise": dict[str, Any],
    "noise_seed": NonNegativeInt,
    "preprocessing": dict[str, Any],
    "pretraining": Literal["denoising", "plain", "none"] | None,
    "run": str,
    "classes": list[str],
}
_PREPROCESSING = get_type_hints(Preprocessing, include_extras=True)
_CONTAINERS = {"state_dict": dict, "callbacks": dict, "optimizer_states": list, "lr_schedulers": list}


def refuse_other_fields(path: Path, content: Mapping[str, Any]) -> None:
    """Make sure that every field has the type that it is used as, and that no number is NaN or infinite.

    Args:
        path: The file, for the message.
        content: All that it holds.

    Raises:
        CheckpointError: With the field, what it holds, and what was expected.
    """
    lacking = sorted(set(_REQUIRED) - content.keys())
    if lacking:
        raise CheckpointError(f"{path} is not a checkpoint of this project: it lacks {', '.join(lacking)}")
    problem = next(_problems(content), None)
    if problem:
        raise CheckpointError(f"{path_from_here(path)}: {problem}")


def _problems(content: Mapping[str, Any]) -> Iterator[str]:
    for name, kind in _CONTAINERS.items():
        if name in content and not isinstance(content[name], kind):
            yield f"{name} is {in_short(content[name])}, expected a {kind.__name__}"
    yield from _wrong(content, _PLAIN, "")
    yield from _wrong(content["hyper_parameters"], _USED, "hyper_parameters.")
    described = content["hyper_parameters"].get("preprocessing", _PREPROCESSING)
    if described.keys() != _PREPROCESSING.keys():
        expected = ", ".join(_PREPROCESSING)
        yield f"hyper_parameters.preprocessing has the keys {', '.join(described)}, expected {expected}"
    elif described is not _PREPROCESSING:
        yield from _wrong(described, _PREPROCESSING, "hyper_parameters.preprocessing.")
    for path, count in leaves(content.get("loops", {}), "loops"):  # Lightning counts on from them as they are
        if count not in (None, [], {}) and not (isinstance(count, int) and 0 <= count < 2**63):
            yield f"{path} is {in_short(count)}, expected a count"
    for name, tensor in content["state_dict"].items():
        where = f"state_dict[{in_short(name)}]"
        if type(name) is not str or not isinstance(tensor, Tensor):
            yield f"{where} is {in_short(tensor)}, expected a name and a tensor"
        elif tensor.dtype not in _FLOATS + _INTEGERS:
            yield f"{where} is of {tensor.dtype}, expected real numbers"
        else:
            yield from _not_finite(tensor, where)
    for where, node in nodes(content.get("optimizer_states", ()), "optimizer_states"):
        if isinstance(node, Tensor):
            yield from _not_finite(node, where)


def _wrong(node: Mapping[str, Any], hints: Mapping[str, Any], below: str) -> Iterator[str]:
    for name in hints.keys() & node.keys():
        problem = plain_problem(node[name], below + name)
        expected = None if problem else wrong_value(hints[name], node[name])
        if problem or expected:
            yield problem or f"{below}{name} is {in_short(node[name])}, expected {expected}"


def _not_finite(tensor: Tensor, where: str) -> Iterator[str]:
    if tensor.dtype in _FLOATS and not torch.isfinite(tensor).all():
        kind = "NaN" if tensor.isnan().any() else "infinite numbers"
        yield f"{where} holds {kind}; expected finite ones. The training that wrote it has diverged"
