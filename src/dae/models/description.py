"""Builds what a checkpoint describes: a class and plain values, held against its signature.

What comes from a file is data, so nothing in it is resolved or called: a description names one class, of
ours or of a package that the user allows, and the values of its arguments.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from dae.errors import CheckpointError
from dae.keys import HYDRA_KEYS, is_admitted
from dae.shapes import in_short, nodes, plain_problem
from dae.signatures import argument_hints, wrong_value
from dae.words import closest_name

Description = Mapping[str, Any]
_OURS = ("dae.models",)
# No name with two underscores in front: a package's __main__ would run when it is imported.
_DOTTED = re.compile(r"(?!__)[A-Za-z_]\w*(\.(?!__)[A-Za-z_]\w*)*")


def built(value: nn.Module | Mapping[str, Any], name: str) -> nn.Module:
    """A network as it is, or of the description that Lightning's ``load_from_checkpoint`` hands on.

    Raises:
        CheckpointError: See ``build_described``. A network of another package is given as an argument of its
            own: ``load_from_checkpoint(path, encoder=...)``.
    """
    if isinstance(value, nn.Module):
        return value
    if not isinstance(value, Mapping):
        raise CheckpointError(f"the checkpoint's {name} is {in_short(value)}, expected a description")
    return build_described("the checkpoint", name, value, allow_targets=(), check=lambda skeleton: None)


def built_factory(value: Callable[..., Any] | Mapping[str, Any], name: str) -> Callable[..., Any]:
    """The same of an optimizer's or a schedule's factory: of ``torch.optim``, or ours.

    Raises:
        CheckpointError: It is of another package, or has other arguments than its description.
    """
    if not isinstance(value, Mapping):
        return value
    values = {key: member for key, member in value.items() if key not in ("_target_", "_partial_")}
    problem = next(_called(values, name), None) or plain_problem(values, name)
    packages = (*_OURS, "torch.optim")
    found = None if problem else _admitted(str(value.get("_target_")), "the checkpoint", packages)
    builds = isinstance(found, type) and issubclass(found, Optimizer | LRScheduler)
    if (
        not problem
        and found is not None
        and (builds or getattr(found, "__module__", None) == "dae.models.optimization")
    ):
        problem = "; ".join(_misfits(found, values, whole=False))
        if not problem:
            return partial(found, **values)
    raise CheckpointError(
        f"the checkpoint's {name}: {problem or value}; give one yourself: "
        f"load_from_checkpoint(path, {name}=...)"
    )


def build_described(
    path: Path | str,
    name: str,
    description: Mapping[str, Any],
    allow_targets: Sequence[str],
    check: Callable[[nn.Module], None],
) -> nn.Module:
    """The network of a description.

    Args:
        path: The file that it comes from, for messages.
        name: ``encoder``, ``decoder`` or ``head``.
        description: ``_target_`` and the arguments of that class.
        allow_targets: Packages besides ours whose classes may be named.
        check: Compares a network without content with the tensors of the file, so that sizes which these
            do not have are refused before they take memory.

    Raises:
        CheckpointError: It holds more than plain values, names another class, or does not fit its signature.
    """
    called = next(_called(description, name), None)
    if called:
        raise CheckpointError(f"{path}: {called}; a description holds plain values and one _target_")
    problem = plain_problem(description, name)
    target = description.get("_target_")
    if problem or not isinstance(target, str):
        raise CheckpointError(f"{path}: {problem or f'its {name} has no _target_ that names a class'}")
    network = _network_class(target, path, (*_OURS, *allow_targets))
    values = {key: value for key, value in description.items() if key != "_target_"}
    try:
        misfits = list(_misfits(network, values))
        if not misfits:
            skeleton = _skeleton(network, values, must=is_admitted(target, _OURS))
            if skeleton is not None:
                check(skeleton)
            return network(**values)
    except CheckpointError:
        raise
    except Exception as error:  # whatever a class says to values that its signature admits
        misfits = [f"{type(error).__name__}: {error}"]
    shown = str(dict(description))
    shown = shown if len(shown) <= 300 else f"{shown[:296]}...}}"
    raise CheckpointError(f"{path}: its {name} {shown} cannot be built: {'; '.join(misfits)}")


def _skeleton(network: type[nn.Module], values: Mapping[str, Any], must: bool) -> nn.Module | None:
    """The network without memory for its numbers; a class of the user's, which may look at them, need not."""
    try:
        with torch.device("meta"):
            return network(**values)
    except Exception:
        if must:
            raise
        return None


def _called(description: Mapping[str, Any], name: str) -> Iterator[str]:
    """All that Hydra or OmegaConf would call or resolve in a description."""
    for place, node in nodes(description, name):
        where = place[:200]
        if isinstance(node, Mapping):
            if node is not description and "_target_" in node:
                yield f"{where} asks to build {str(node['_target_'])[:100]}"
            yield from (f"{where} has the key {key}" for key in HYDRA_KEYS & node.keys() - {"_target_"})
        elif isinstance(node, str) and "${" in node:
            yield f"{where} holds the interpolation {node[:100]!r}"


def _misfits(network: Callable[..., Any], values: Mapping[str, Any], whole: bool = True) -> Iterator[str]:
    """Why a class or a function does not take these arguments, ``whole``: or lacks others."""
    parameters = inspect.signature(network).parameters
    hints = argument_hints(network, inspect.signature(network))
    for key, value in values.items():
        if key not in hints:
            near = closest_name(key, hints)
            yield f"{network.__name__} has no argument {key!r}" + (f"; the nearest is {near}" if near else "")
            continue
        expected = wrong_value(hints[key], value)
        if expected is not None:
            yield f"{key} is {value!r}, expected {expected}"
    for key in hints.keys() - values.keys():
        if whole and key in parameters and parameters[key].default is inspect.Parameter.empty:
            yield f"{key} is missing"


def _network_class(target: str, path: Path | str, packages: Sequence[str]) -> type[nn.Module]:
    """A class of one of the packages."""
    found = _admitted(target, path, packages)
    if isinstance(found, type) and issubclass(found, nn.Module):
        return found
    package = target.split(".")[0]
    trusted = (
        f" If you trust that file: 'allow_targets=[{package}]', for dae --allow-targets {package}"
        if _DOTTED.fullmatch(package)
        else ""
    )
    raise CheckpointError(
        f"{path} asks to build {target[:200]}; only network classes of {', '.join(packages)} are built."
        f"{trusted}"
    )


def _admitted(target: str, path: Path | str, packages: Sequence[str]) -> Any:
    """What a name stands for, if that is of one of the packages, else None; nothing else is even imported."""
    for package in packages:
        if not _DOTTED.fullmatch(package):
            raise CheckpointError(
                f"allow_targets: found {package!r}, expected packages, like allow_targets=[my_package]"
            )
    module, _, name = target.rpartition(".")
    if _DOTTED.fullmatch(target) and is_admitted(module, packages):
        try:
            found = getattr(importlib.import_module(module), name, None)
        except (Exception, SystemExit) as error:  # the code of an allowed package, whatever it does
            raise CheckpointError(f"{path}: its network is a {target}, and {error}") from error
        # A name that a module merely imported belongs to somebody else.
        if is_admitted(str(getattr(found, "__module__", "")), packages):
            return found
    return None
