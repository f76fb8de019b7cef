"""Plain values held against a signature: the one validator of configs and of what a checkpoint describes.

Of a class or a function a ``TypedDict`` is made from its annotations, which pydantic checks. Scalars are
strict: neither "1" nor 1.0 is an integer. Containers are lenient: a list serves as a tuple.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import NotRequired, Required, TypedDict

from dae.errors import Problem
from dae.text import closest_name, quoted_override

STRICT = ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)
# Keys that name a run or compare runs: another value of theirs makes no run another run.
NO_PART_OF_A_RUN = ("compare", "name")


class UnknownKey(Problem):
    """A key that is not there; ``config.compose.unknown_key`` words it, with the nearest one that is."""


def leaves(node: Any, path: str = "") -> list[tuple[str, Any]]:
    """Full key path and value of everything that is no mapping, or an empty one."""
    if not isinstance(node, dict) or not node:
        return [(path, node)]
    return [
        leaf for key, value in node.items() for leaf in leaves(value, f"{path}.{key}" if path else str(key))
    ]


def nodes(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Full key path of each mapping that names a class, in lists too."""
    members = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    if isinstance(node, dict) and "_target_" in node:
        yield path, node
    for key, value in members:
        yield from nodes(value, f"{path}.{key}" if path else str(key))


def overlap(path: str, other: str) -> bool:
    """Whether one key path is the other, or lies below it."""
    return f"{path}.".startswith(f"{other}.") or f"{other}.".startswith(f"{path}.")


def select(node: Any, path: str) -> Any:
    """The value at a full key path; None where there is none."""
    for key in path.split("."):
        node = node.get(key) if isinstance(node, dict) else None
    return node


def is_admitted(name: str, packages: Sequence[str]) -> bool:
    """Whether the full name of a class or a module lies in one of the packages, and runs no script of it."""
    plain = re.fullmatch(r"(?!__)[A-Za-z_]\w*(\.(?!__)[A-Za-z_]\w*)*", name)
    return bool(plain) and any(f"{name}.".startswith(f"{package}.") for package in packages if package)


def locate(name: str) -> Any:
    """The class or function of this full name.

    Raises:
        Exception: Whatever its package raises when it is imported.
    """
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def argument_hints(target: Any) -> dict[str, Any]:
    """Annotation of each argument that can be named.

    ``**kwargs`` admits nothing, unless its annotation names the class whose arguments they are:
    ``Annotated[Any, Trainer]``.
    """
    function = inspect.getattr_static(target, "__init__") if isinstance(target, type) else target
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError):  # an annotation that is only imported for type checkers; a partial
        hints = {}
    found: dict[str, Any] = {}
    for name, parameter in inspect.signature(target).parameters.items():
        hint = hints.get(name, Any)
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            found[name] = hint
        elif parameter.kind is parameter.VAR_KEYWORD and get_origin(hint) is Annotated:
            found = {**argument_hints(get_args(hint)[1]), **found}
    return found


def argument_problems(target: Any, node: Mapping[str, Any], path: str = "") -> Iterator[Problem]:
    """What is wrong with the arguments of a class or a function: unknown, missing and misfit ones.

    Args:
        target: What is called.
        node: Its arguments by name, and Hydra's own keys. With ``_partial_`` the code adds what is missing.
            Nodes that name a class themselves are not looked into.
        path: Key path of the node.
    """
    values = {key: value for key, value in node.items() if key not in ("_target_", "_partial_")}
    built = tuple(key for key, value in values.items() if next(nodes(value), None))
    yield from problems(_arguments(target, node.get("_partial_") is True, built), values, path)


@lru_cache(maxsize=256)
def _arguments(target: Any, partial: bool, built: tuple[str, ...]) -> type:
    parameters = inspect.signature(target).parameters
    fields: dict[str, Any] = {}
    for name, hint in argument_hints(target).items():
        needed = name in parameters and parameters[name].default is inspect.Parameter.empty
        kind = Any if name in built else _checkable(hint)
        fields[name] = Required[kind] if needed and not partial else NotRequired[kind]
    return typed_dict("Arguments", fields)


def typed_dict(name: str, fields: dict[str, Any]) -> type:
    """A mapping with these keys and no others."""
    make: Any = TypedDict
    kind = make(name, fields)
    kind.__pydantic_config__ = STRICT
    return kind


def _checkable(hint: Any) -> Any:
    """The annotation, or Any where pydantic cannot make a schema of it."""
    try:
        TypeAdapter(hint, config=STRICT)
    except Exception:  # whatever an annotation of somebody else's leads to
        return Any
    return hint


def problems(kind: Any, value: Any, path: str = "") -> Iterator[Problem]:
    """What is wrong with plain values, all of it, each at its place.

    Args:
        kind: From ``typed_dict``, or any annotation that carries its own configuration.
        value: Plain values.
        path: Their key path.
    """
    try:
        _validator(kind).validate_json(json.dumps(value))
    except ValidationError as error:
        grouped: dict[str, list[Any]] = {}
        for detail in error.errors():
            grouped.setdefault(_place(detail, value, path), []).append(detail)
        for place, details in grouped.items():
            yield _problem(place, details)


@lru_cache(maxsize=256)
def _validator(kind: Any) -> TypeAdapter[Any]:
    """Made once a process: the jobs of a sweep hold the same classes to the same annotations."""
    return TypeAdapter(kind)


def _place(detail: Any, value: Any, path: str) -> str:
    """The key path of an error; pydantic's own has the branches of a union among its parts."""
    parts = [path] if path else []
    for part in detail["loc"]:
        there = isinstance(value, dict) and part in value
        if there or (isinstance(value, list) and isinstance(part, int)):
            value = value[part]
            parts.append(str(part))
    if detail["type"] == "missing":
        parts.append(str(detail["loc"][-1]))
    return ".".join(parts)


def _problem(place: str, details: list[Any]) -> Problem:
    first = details[0]
    if first["type"] == "missing":
        return Problem(place, "is missing", f"try {place}=<value>")
    if first["type"] == "extra_forbidden":
        return UnknownKey(place, f"there is no key {place.rpartition('.')[2]!r}")
    told = [detail for detail in details if detail["type"] != "needs_python_object"] or details
    expected = " or ".join(dict.fromkeys(map(_expected, told)))
    words = [word for each in told if each["type"] == "literal_error" for word in _words(each)]
    meant = closest_name(str(first["input"]), words) if words and isinstance(first["input"], str) else None
    hint = f"try {quoted_override(place, meant)}" if meant else ""
    return Problem(place, f"found {first['input']!r}, expected {expected}", hint)


def _expected(detail: Any) -> str:
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    if detail["type"] in ("needs_python_object", "callable_type"):
        return "a node with _target_"
    return re.sub(r"^(Input|String|Value|List|Tuple|Dictionary) should (be )?", "", detail["msg"])


def _words(detail: Any) -> list[str]:
    return re.findall(r"'([^']*)'", detail["ctx"]["expected"])
