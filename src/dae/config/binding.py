"""Holds nodes of a config against signatures and annotations; knows nothing of this project's own keys."""

from __future__ import annotations

import collections.abc
import inspect
import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
from hydra.utils import get_object
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema
from pytorch_lightning import Callback, LightningDataModule
from torch import nn

from dae.config.expectation import expected_value
from dae.config.groups import group_choices
from dae.errors import Problem
from dae.keys import leaves
from dae.words import closest_name, quoted_override

# Scalars strictly: no "1" and no 1.0 for an integer. Containers leniently: a list is a tuple.
_STRICT = ConfigDict(arbitrary_types_allowed=True, strict=True, allow_inf_nan=False)


class Binding:
    """Walks a config along annotations and tells what does not fit.

    Args:
        config: All of it, in plain values.
        moved: Key paths that belong to somebody else, and what a user reads instead of "no such key".
    """

    def __init__(self, config: dict[str, Any], moved: Mapping[str, str]) -> None:
        self.config = config
        self.moved = moved

    def fields(self, path: str, node: dict[str, Any], schema: type) -> Iterator[Problem]:
        """A node without ``_target_`` against a dataclass."""
        hints = get_type_hints(schema, include_extras=True)
        yield from self.arguments(path, node, hints, required=set(hints))

    def arguments(
        self, path: str, node: dict[str, Any], hints: Mapping[str, Any], required: set[str]
    ) -> Iterator[Problem]:
        """The keys of a node against names and annotations."""
        for key, value in node.items():
            here = f"{path}.{key}" if path else str(key)
            if key in hints and here not in self.moved:
                yield from self.value(here, value, hints[key])
            else:
                yield self.unknown(
                    here, value, [name for name in hints if f"{path}.{name}" not in self.moved]
                )
        for name in sorted(required - node.keys()):
            missing = f"{path}.{name}" if path else name
            yield Problem(missing, "is missing", f"try {missing}=<value>")

    def value(self, path: str, value: Any, hint: Any) -> Iterator[Problem]:
        """Any value against its annotation."""
        origin = get_origin(hint)
        if is_dataclass(hint) and isinstance(hint, type):
            yield from (
                self.fields(path, value, hint) if isinstance(value, dict) else [self.not_a_node(path, value)]
            )
        elif origin is dict and get_args(hint)[0] is str:
            if not isinstance(value, dict):
                yield self.not_a_node(path, value)
                return
            for name, member in value.items():
                yield from self.value(f"{path}.{name}", member, get_args(hint)[1])
        elif _is_built(hint):
            known = isinstance(value, dict) and "_target_" in value
            yield from self.built(path, value, hint) if known else [self.not_a_node(path, value)]
        elif isinstance(value, dict) and "_target_" in value:
            yield from self.built(path, value, object)
        else:
            yield from self.scalar(path, value, hint)

    def built(self, path: str, node: dict[str, Any], hint: Any) -> Iterator[Problem]:
        """A node with ``_target_`` against the signature of what it names."""
        name = node["_target_"]
        try:
            target = get_object(name)
            signature = inspect.signature(target)
        except Exception as error:
            reason = str(error).splitlines()[0]
            yield Problem(f"{path}._target_", f"{name!r} cannot be had: {reason}", _choose(path))
            return
        wanted, partial = _wanted(hint)
        if isinstance(target, type) and not issubclass(target, wanted):
            what = f"{name} is not a {wanted.__module__.split('.')[0]} {wanted.__name__}"
            yield Problem(f"{path}._target_", what, _choose(path))
            return
        if partial != bool(node.get("_partial_", False)):
            yield Problem(f"{path}._partial_", f"expected {str(partial).lower()} here")
        hints = _annotations(target, signature)
        arguments = {key: value for key, value in node.items() if not _is_hydra_key(key)}
        required = {
            key
            for key, parameter in signature.parameters.items()
            if key in hints and parameter.default is inspect.Parameter.empty
        }
        if partial:  # the code brings what has no default
            hints = {key: hint for key, hint in hints.items() if key not in required}
            required = set()
        found = list(self.arguments(path, arguments, hints, required))
        yield from found
        if not found and path.endswith("optimizer"):
            yield from _try_optimizer(path, target, arguments)

    def scalar(self, path: str, value: Any, hint: Any) -> Iterator[Problem]:
        """A plain value against its annotation: scalars strictly, containers leniently."""
        adapter = TypeAdapter(hint, config=_STRICT)
        try:
            adapter.validate_json(json.dumps(value), strict=True)
        except ValidationError as error:
            meant = closest_name(str(value), _words(hint)) if isinstance(value, str) else None
            advice = f"try {quoted_override(path, meant)}" if meant else ""
            expected = _expected(adapter, error)
            if isinstance(value, list) and "a list" not in expected:
                advice = f"to sweep over the values: -m {path}={','.join(map(str, value))}"
            yield Problem(path, f"found {value!r}, expected {expected}", advice)

    def unknown(self, path: str, value: Any, names: list[str]) -> Problem:
        """A key that nobody reads."""
        if path in self.moved:
            return Problem(path, self.moved[path])
        parent, _, key = path.rpartition(".")
        below = f"in {parent}" if parent else "at the top level"
        what = f"there is no key {key!r} {below} (keys: {', '.join(sorted(names))})"
        meant = closest_name(key, names)
        if meant is not None:
            meant = f"{parent}.{meant}" if parent else meant
        else:
            # The right name in the wrong place.
            known = [leaf for leaf, _ in leaves(self.config) if not leaf.startswith(path)]
            same = [leaf for leaf in known if leaf.rpartition(".")[2] == key]
            meant = same[0] if same else closest_name(path, known)
        if meant is None:
            return Problem(path, what)
        typed = [
            quoted_override(leaf.replace(path, meant, 1), leaf_value)
            for leaf, leaf_value in leaves({path: value})
        ]
        return Problem(path, f"{what}; the nearest is {meant}", f"try {' '.join(typed)}")

    def not_a_node(self, path: str, value: Any) -> Problem:
        """A word where a group's content belongs: ``dae.noise=gaussian``."""
        group = path.replace(".", "/")
        offered = group_choices(group)
        if not offered:
            return Problem(path, f"found {value!r}, expected a node with _target_")
        meant = closest_name(str(value), offered) or offered[0]
        return Problem(
            path,
            f"found {value!r}, expected a choice of the group {group} ({', '.join(offered)})",
            f"groups are written with a slash: try {quoted_override(group, meant)}",
        )


def _is_hydra_key(key: str) -> bool:
    return key in ("_target_", "_partial_", "_convert_", "_recursive_")


def _is_built(hint: Any) -> bool:
    """Whether a value of this annotation is built from a node."""
    if get_origin(hint) is collections.abc.Callable:
        return True
    # In Python 3.10 list[str] says that it is a type.
    plain = isinstance(hint, type) and get_origin(hint) is None
    return plain and issubclass(hint, nn.Module | LightningDataModule | Callback)


def _wanted(hint: Any) -> tuple[type, bool]:
    """The class that a node is to build, and whether it is built in part only (``_partial_``)."""
    if get_origin(hint) is collections.abc.Callable:
        return get_args(hint)[-1], True
    return hint, False


def _annotations(target: Any, signature: inspect.Signature) -> dict[str, Any]:
    """Annotation of each argument that can be named.

    ``**kwargs`` admits nothing, unless its annotation names the class whose arguments they are:
    ``Annotated[Any, Trainer]``.
    """
    function = inspect.getattr_static(target, "__init__") if isinstance(target, type) else target
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError:  # an annotation that is only imported for type checkers
        hints = {}
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = {}
    for name, parameter in signature.parameters.items():
        hint = hints.get(name, Any)
        if parameter.kind in kinds and name != "self":
            found[name] = hint
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD and get_origin(hint) is Annotated:
            further = get_args(hint)[1]
            found = {**_annotations(further, inspect.signature(further)), **found}
    return found


def _try_optimizer(path: str, target: Any, arguments: dict[str, Any]) -> Iterator[Problem]:
    """Optimizers check their arguments themselves, when they are built: do that on a dummy."""
    try:
        target([torch.zeros(1, requires_grad=True)], **arguments)
    except (ValueError, TypeError, RuntimeError) as error:
        yield Problem(path, f"{target.__name__} refuses its arguments: {error}")


def _expected(adapter: TypeAdapter[Any], error: ValidationError) -> str:
    """What an annotation admits, as the end of "expected ..."."""
    details = error.errors()
    own_words = [str(detail["ctx"]["error"]) for detail in details if detail["type"] == "value_error"]
    if own_words:
        return own_words[0].removeprefix("expected ")
    try:
        return expected_value(adapter.json_schema())
    except PydanticInvalidForJsonSchema:  # an annotation with tensors, say
        return " or ".join(dict.fromkeys(detail["msg"] for detail in details))


def _words(hint: Any) -> list[str]:
    """The words that an annotation admits."""
    if get_origin(hint) is Literal:
        return [word for word in get_args(hint) if isinstance(word, str)]
    if get_origin(hint) in (Union, types.UnionType, Annotated):
        return [word for member in get_args(hint) for word in _words(member)]
    return []


def _choose(path: str) -> str:
    group = path.replace(".", "/")
    offered = group_choices(group) or group_choices(group.rpartition("/")[0])
    return f"choose one of the group: {', '.join(offered)}" if offered else ""
