"""Builds what a checkpoint describes: a class and plain values, held against its signature.

What comes from a file is data, so nothing in it is resolved or called: a description names one class, of
ours or of a package that the user allows, and the values of its arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dae.errors import CheckpointError, with_place
from dae.schema import argument_problems, is_admitted, locate, nodes

Description = Mapping[str, Any]
OURS = ("dae.models",)


def built(value: nn.Module | Description, name: str) -> nn.Module:
    """A network as it is, or of the description that Lightning's ``load_from_checkpoint`` hands on.

    Raises:
        CheckpointError: See ``build_described``. A network of another package is given as an argument of its
            own: ``load_from_checkpoint(path, encoder=...)``.
    """
    return value if isinstance(value, nn.Module) else build_described("the checkpoint", name, value, ())


def built_factory(value: Callable[..., Any] | Description, name: str) -> Callable[..., Any]:
    """The same of an optimizer's or a schedule's factory: of ``torch.optim``, or ours.

    Raises:
        CheckpointError: It is of another package, or has other arguments than its description.
    """
    if not isinstance(value, Mapping):
        return value
    target = described_class("the checkpoint", name, value, (*OURS, "torch.optim"))
    return partial(target, **{key: member for key, member in value.items() if key[0] != "_"})


def build_described(
    path: Path | str, name: str, description: Any, allow_targets: Sequence[str], device: str = "cpu"
) -> nn.Module:
    """The network of a description, with untrained weights.

    Args:
        path: The file that it comes from, for messages.
        name: ``encoder``, ``decoder``, ``head``, ``noise``.
        description: ``_target_`` and the arguments of that class.
        allow_targets: Packages besides ours whose classes may be named.
        device: Where it is built; ``meta`` takes no memory.

    Raises:
        CheckpointError: It holds more than plain values, names another class, or does not fit its signature.
    """
    allowed = [allow_targets] if isinstance(allow_targets, str) else allow_targets
    target = described_class(path, name, description, (*OURS, *allowed))
    try:
        if not issubclass(target, nn.Module):
            raise TypeError(f"{target.__name__} is no network")
        with torch.device(device):
            return target(**{key: value for key, value in description.items() if key != "_target_"})
    except Exception as error:  # whatever a class says to values that its signature admits
        raise CheckpointError(f"{path}: its {name} cannot be built: {with_place(error)}") from error


def described_class(path: Path | str, name: str, description: Any, packages: Sequence[str]) -> Any:
    """The class that a description names, if it is of one of the packages; nothing else is even imported.

    Raises:
        CheckpointError: It is not, or does not take these arguments.
    """
    target = description.get("_target_") if isinstance(description, Mapping) else None
    if not isinstance(target, str) or len(list(nodes(dict(description)))) != 1 or "${" in str(description):
        raise CheckpointError(f"{path}: its {name} is no class and plain values: {str(description)[:200]}")
    refused = CheckpointError(
        f"{path} asks to build {target[:200]}; only classes of {', '.join(packages)} are built. If you trust "
        f"that file: 'allow_targets=[{target.split('.')[0]}]', for dae --allow-targets {target.split('.')[0]}"
    )
    if not is_admitted(target, packages):
        raise refused
    try:
        found = locate(target)
    except (Exception, SystemExit) as error:  # the code of an allowed package, whatever it does
        raise CheckpointError(f"{path}: its {name} is a {target}: {with_place(error)}") from error
    # A name that a module merely imported belongs to somebody else.
    if not is_admitted(str(getattr(found, "__module__", "")), packages):
        raise refused
    if misfits := "; ".join(map(str, argument_problems(found, description, name))):
        raise CheckpointError(f"{path}: its {name} does not fit {target}: {misfits}")
    return found
