"""Checks the nodes of a config against signatures and annotations, whatever keys these have."""

from __future__ import annotations

import collections.abc
import inspect
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from datetime import timedelta
from enum import Enum
from itertools import starmap
from pathlib import PurePath
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
from pytorch_lightning import Callback, LightningDataModule
from torch import nn

from dae.config.building import located
from dae.config.groups import choice_node, group_choices
from dae.errors import Problem
from dae.keys import HYDRA_KEYS, is_admitted, leaves, overlap, select
from dae.shapes import nodes
from dae.signatures import admits, argument_hints, wrong_value
from dae.words import closest_name, quoted_override, user_folder

# What a config says itself; anything else is built from a node.
PLAIN = (str, int, float, bool, complex, bytes, type(None), PurePath, timedelta, Enum, torch.Tensor)
CONTAINERS = (collections.abc.Mapping, collections.abc.Sequence, collections.abc.Set)


class Binding:
    """Walks through a config along type annotations and reports what does not fit.

    Args:
        config: The whole config as plain values.
        moved: Key paths that are set elsewhere, or by the code, and the message that says where.
        admitted: The packages whose classes may be named: those of every command, and those that this one
            admits besides. None admits all, since the user has written the config.
    """

    def __init__(
        self,
        config: dict[str, Any],
        moved: Mapping[str, str],
        admitted: tuple[tuple[str, ...], tuple[str, ...]] | None = None,
    ) -> None:
        self.config = config
        self.moved = moved
        self.admitted = admitted
        # The annotation of each known key path.
        self._hints: dict[str, Any] = {}
        # The path and value of each unknown key, and the names of the keys that are known beside it.
        self._unknown: list[tuple[str, Any, list[str]]] = []

    def problems(self, schema: type) -> Iterator[Problem]:
        """Check the whole config against a dataclass."""
        yield from self.fields("", self.config, schema)
        # Last, since the nearest key may lie in a part that is read after the wrong one.
        for path, value, names in self._unknown:
            yield self.unknown(path, value, names)

    def fields(self, path: str, node: dict[str, Any], schema: type) -> Iterator[Problem]:
        """Check a node without ``_target_`` against a dataclass."""
        hints = get_type_hints(schema, include_extras=True)
        yield from self.arguments(path, node, hints, required=set(hints))

    def arguments(
        self, path: str, node: dict[str, Any], hints: Mapping[str, Any], required: set[str]
    ) -> Iterator[Problem]:
        """Check the keys of a node against names and annotations."""
        below = f"{path}." if path else ""
        names = [name for name in hints if below + name not in self.moved]
        self._hints.update({below + name: hints[name] for name in names})
        for key, value in node.items():
            here = f"{below}{key}"
            if here in self.moved:
                yield Problem(here, self.moved[here])
            elif key in hints:
                yield from self.value(here, value, hints[key])
            else:
                self._unknown.append((here, value, names))
        for name in sorted(required & set(names) - node.keys()):
            yield Problem(below + name, "is missing", f"try {below}{name}=<value>")

    def value(self, path: str, value: Any, hint: Any) -> Iterator[Problem]:
        """Check any value against its annotation."""
        origin = get_origin(hint)
        if origin in (Union, types.UnionType):  # a node of plain keys, or none
            nodes_of = [member for member in get_args(hint) if is_dataclass(member)]
            hint = nodes_of[0] if nodes_of and value is not None else hint
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
        elif _is_built(hint) or (isinstance(value, dict) and "_target_" in value and wanted_classes(hint)):
            known = isinstance(value, dict) and "_target_" in value
            yield from self.built(path, value, hint) if known else [self.not_a_node(path, value)]
        elif called := [place for place, node in nodes(value, path) if _is_called(node)]:
            for where in called:
                yield Problem(where, "found a node that names a class, where a plain value is expected")
        else:
            yield from self.scalar(path, value, hint)

    def built(self, path: str, node: dict[str, Any], hint: Any) -> Iterator[Problem]:
        """Check a node with ``_target_`` against the signature of the class or function that it names."""
        name = node["_target_"]
        if not isinstance(name, str):
            yield Problem(f"{path}._target_", f"found {name!r}, expected the name of a class", _choose(path))
            return
        wanted, called_with = wanted_classes(hint), _arguments_given(hint)
        packages = self._packages(wanted)
        if packages is not None and not is_admitted(name, packages):
            yield Problem(
                f"{path}._target_",
                f"{name!r} is not of {', '.join(packages) or 'allow_targets'}",
                _choose(path),
            )
            return
        try:
            target = located(name)
            signature = inspect.signature(target)
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            package = isinstance(error, ModuleNotFoundError) and error.name == name.split(".")[0]
            hint = (
                f"it is looked for in {user_folder()} and where PYTHONPATH says" if package else _choose(path)
            )
            yield Problem(f"{path}._target_", f"{name!r} cannot be had: {reason}", hint)
            return
        defined = str(getattr(target, "__module__", None))
        if packages is not None and not is_admitted(defined, packages):
            yield Problem(f"{path}._target_", f"{name} is a name for something of {defined}", _choose(path))
            return
        if not _is_kind(target, wanted, called_with, trusted=packages is None):
            what = f"{name} is not a {' or '.join(map(_class_name, wanted)) or 'plain value'}"
            yield Problem(f"{path}._target_", what, _choose(path))
            return
        partial = called_with is not None
        if node.get("_partial_", False) is not partial:
            yield _wrong_partial(path, node, partial)
        hints = argument_hints(target, signature)
        arguments = {key: value for key, value in node.items() if key not in ("_target_", "_partial_")}
        required = {
            key
            for key, parameter in signature.parameters.items()
            if key in hints and parameter.default is inspect.Parameter.empty
        }
        if partial:  # the code passes the arguments without a default
            hints = {key: hint for key, hint in hints.items() if key not in required}
            required = set()
        yield from self.arguments(path, arguments, hints, required)

    def _packages(self, wanted: tuple[type, ...]) -> tuple[str, ...] | None:
        """The packages that a class may come from; None if from anywhere.

        Where nothing says what is wanted, as an argument without an annotation, it is one that the command
        admits by name.
        """
        if self.admitted is None:
            return None
        ours, besides = self.admitted
        return besides if wanted == (object,) else (*ours, *besides)

    def scalar(self, path: str, value: Any, hint: Any) -> Iterator[Problem]:
        """Check a plain value against its annotation: scalars strictly, containers leniently."""
        expected = wrong_value(hint, value)
        if expected is None:
            return
        advice = ""
        if isinstance(value, str):
            near = (closest_name(value, _words(hint)), re.sub(r"[^\w.-]+", "_", value))
            meant = next((word for word in near if word is not None and admits(hint, word)), None)
            advice = f"try {quoted_override(path, meant)}" if meant else ""
        elif isinstance(value, list) and value and all(admits(hint, member) for member in value):
            advice = f"to sweep over the values: -m {path}={','.join(map(str, value))}"
        yield Problem(path, f"found {value!r}, expected {expected}", advice)

    def unknown(self, path: str, value: Any, names: list[str]) -> Problem:
        """Describe a key that nothing reads, and propose what was meant if the config would accept it.

        Args:
            path: Full path of the key.
            value: Its value.
            names: Names of the known keys beside it.
        """
        parent, _, key = path.rpartition(".")
        below = f"in {parent}" if parent else "at the top level"
        what = f"there is no key {key!r} {below} (keys: {', '.join(sorted(names))})"
        typed = leaves({path: value})
        group = parent.replace(".", "/")
        for choice in group_choices(group) if parent in self._hints else ():
            node = choice_node(group, choice)
            if key in node:
                fits = self._fits(parent, {**node, key: value}, [place for place, _ in typed])
                switched = " ".join([quoted_override(group, choice), *starmap(quoted_override, typed)])
                return Problem(path, f"{what}; {group}={choice} has it", f"try {switched}" if fits else "")
        near = closest_name(key, names, cutoff=0.65)
        beside = [f"{parent}.{near}" if parent else near] if near else []
        # The right name in the wrong place.
        elsewhere = [place for place in self._hints if place.rpartition(".")[2] == key]
        for meant in [*beside, *elsewhere]:
            told = f"{what}; the nearest is {meant}"
            if isinstance(value, str) and value in group_choices(meant.replace(".", "/")):
                return Problem(path, told, f"try {quoted_override(meant.replace('.', '/'), value)}")
            moved = [(place.replace(path, meant, 1), leaf) for place, leaf in typed]
            if self._fits(meant, _merged(select(self.config, meant), value), [place for place, _ in moved]):
                return Problem(path, told, f"try {' '.join(starmap(quoted_override, moved))}")
        # Named all the same if it can hardly be anything else; its value is wrong, too.
        surely = closest_name(key, names, cutoff=0.7)
        return Problem(path, f"{what}; the nearest is {beside[0]}" if surely else what)

    def _fits(self, path: str, value: Any, given: list[str]) -> bool:
        """Whether a key would accept a value; only problems at the ``given`` key paths count."""
        trial = Binding(self.config, self.moved, self.admitted)
        wrong = [problem.where for problem in trial.value(path, value, self._hints[path])]
        wrong += [place for place, *_ in trial._unknown]
        return not any(overlap(place, where) for place in given for where in wrong)

    def not_a_node(self, path: str, value: Any) -> Problem:
        """Describe a plain value in the place of a node, like ``dae.noise=gaussian``."""
        group = path.replace(".", "/")
        offered = group_choices(group)
        if not offered:
            return Problem(path, f"found {value!r}, expected a node with _target_")
        meant = closest_name(str(value), offered)
        what = f"found {value!r}, expected a choice of the group {group} ({', '.join(offered)})"
        slash = "groups are written with a slash: "
        return Problem(path, what, f"{slash}try {quoted_override(group, meant)}" if meant else "")


def _merged(there: Any, value: Any) -> Any:
    """The value of a key after an override: a node is merged into the node that is there."""
    if not isinstance(there, dict) or not isinstance(value, dict):
        return value
    return {**there, **{key: _merged(there.get(key), member) for key, member in value.items()}}


def _wrong_partial(path: str, node: dict[str, Any], partial: bool) -> Problem:
    """``_partial_`` says whether the code adds arguments of its own, like a logger's folder."""
    key = f"{path}._partial_"
    if partial and "_partial_" not in node:
        hint = f"add the line _partial_: true to its file, or try +{key}=true"
        return Problem(key, "is missing: the code adds arguments of its own when it builds this", hint)
    word = str(partial).lower()
    return Problem(key, f"expected {word} here", f"try {key}={word}")


def _is_called(value: Any) -> bool:
    """Whether a value is a node with any key that means something to Hydra."""
    return isinstance(value, dict) and not HYDRA_KEYS.isdisjoint(value)


def _is_built(hint: Any) -> bool:
    """Whether every value of this annotation is built from a node."""
    if get_origin(hint) is collections.abc.Callable:
        return True
    # In Python 3.10 list[str] says that it is a type.
    plain = isinstance(hint, type) and get_origin(hint) is None
    return plain and issubclass(hint, nn.Module | LightningDataModule | Callback)


def wanted_classes(hint: Any) -> tuple[type, ...]:
    """The classes of which an annotation wants an instance, or a factory of one; none for plain values.

    ``(object,)`` where it says nothing.
    """
    origin = get_origin(hint)
    if hint is Any:
        return (object,)
    if origin is Annotated:
        return wanted_classes(get_args(hint)[0])
    if origin is collections.abc.Callable:
        return wanted_classes(get_args(hint)[-1]) if get_args(hint) else (object,)
    if origin in (Union, types.UnionType):
        return tuple(
            kind for member in get_args(hint) for kind in wanted_classes(member) if kind is not object
        )
    kind = origin or hint
    if not isinstance(kind, type) or kind.__module__ == "collections.abc":
        return ()
    return () if issubclass(kind, (*PLAIN, *CONTAINERS)) else (kind,)


def _arguments_given(hint: Any) -> list[Any] | None:
    """What the code passes to a factory; None where the annotation wants no factory (``_partial_: true``)."""
    if get_origin(hint) in (Union, types.UnionType):
        factories = (member for member in get_args(hint) if get_origin(member) is collections.abc.Callable)
        return next(map(_arguments_given, factories), None)
    if get_origin(hint) is not collections.abc.Callable:
        return None
    given = get_args(hint)[0] if get_args(hint) else ...
    return [] if given is ... else list(given)


def _is_kind(target: Any, wanted: tuple[type, ...], called_with: list[Any] | None, trusted: bool) -> bool:
    """Whether a target is one of the classes, or a function that says that it returns one.

    A function counts where a factory is wanted, and only if its first arguments are those that it is given.
    One that says nothing counts if it is trusted.
    """
    if trusted and wanted in ((object,), ()):  # as of a function that is given numbers
        return True
    if isinstance(target, type):
        return issubclass(target, wanted)
    if called_with is None or not inspect.isfunction(target):
        return False
    try:
        hints = get_type_hints(target)
    except NameError:
        hints = {}
    if "return" not in hints:
        return trusted
    returned = hints.pop("return")
    kinds = wanted_classes(returned)
    # A schedule that keeps the learning rate returns None.
    right = bool(called_with) if returned is type(None) else bool(kinds)
    return (
        right
        and all(issubclass(kind, wanted) for kind in kinds)
        and list(hints.values())[: len(called_with)] == called_with
    )


def _class_name(kind: type) -> str:
    return f"{kind.__module__.split('.')[0]} {kind.__name__}"


def _words(hint: Any) -> list[str]:
    """The words that an annotation accepts."""
    if get_origin(hint) is Literal:
        return [word for word in get_args(hint) if isinstance(word, str)]
    if get_origin(hint) in (Union, types.UnionType, Annotated):
        return [word for member in get_args(hint) for word in _words(member)]
    return []


def _choose(path: str) -> str:
    group = path.replace(".", "/")
    offered = group_choices(group) or group_choices(group.rpartition("/")[0])
    return f"choose one of the group: {', '.join(offered)}" if offered else ""
