"""Which plain values a file holds: the walk through them, what is not plain, a shape to compare them with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

NAMES = {
    str: "a text",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
    type(None): "null",
}
# Deeper nodes are nobody's settings.
DEEPEST = 30
# Larger numbers are no figures: their squares, of which a spread is made, are beyond floating point.
LARGEST = 1e100


def nodes(value: Any, where: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Full key path of a value and of all that is in it; a key of a mapping stands at the mapping's own path.

    The numbers in a list of floats are no nodes: a test set has thousands. What lies deeper than ``DEEPEST``
    is ``...``.
    """
    if depth > DEEPEST:
        yield where, ...
        return
    yield where, value
    members: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        members = value.items()
        yield from ((where, key) for key in value)
    elif isinstance(value, list | tuple) and {*map(type, value)} != {float}:
        members = enumerate(value)
    for key, member in members:
        yield from nodes(member, f"{where}.{key}".lstrip("."), depth + 1)


def plain_problem(content: Any, where: str = "", by_hand: bool = False) -> str | None:
    """Why content is not all texts, numbers, true, false and null in lists and mappings; None if it is.

    Args:
        content: Of a file.
        where: Its key path.
        by_hand: Whether people write it: then its numbers may be infinite, and its keys integers.
    """
    for place, node in nodes(content, where):
        if node is ...:
            return f"{place[:40]}... is nested more than {DEEPEST} deep"
        for key in node if isinstance(node, Mapping) else ():
            if not isinstance(key, str | int if by_hand else str):
                return f"{place or 'it'} has the key {key!r}, expected a text"
        if isinstance(node, int) and abs(node) >= 2**63:
            return f"{place} is an integer of more than 64 bits"
        numbers = node if isinstance(node, list | tuple) else [node]
        for number in () if by_hand else numbers:
            if isinstance(number, float) and not abs(number) < LARGEST:
                return f"{place} is {number}, no number that is measured"
        if type(node) not in (*NAMES, tuple):
            return f"{place or 'it'} is {kind_of(node)}, expected a plain value"
    return None


class Whole(dict[str, Any]):
    """The shape of a mapping that has all of these keys."""


def misfit(value: Any, shape: Any, where: str = "") -> str | None:
    """Why plain values do not have a shape, in words; None if they have it.

    Args:
        value: Plain values.
        shape: A type, where ``float`` takes integers too; None; a tuple, one of whose shapes is expected;
            ``[shape]``, a list of it; ``{str: shape}``, a mapping to it; ``{"key": shape, ..}``, a mapping
            whose keys have these shapes where they are there; ``Whole``, where all are there.
        where: The key path of the value.
    """
    if isinstance(shape, tuple):
        reasons = [misfit(value, each, where) for each in shape]
        return None if None in reasons else reasons[0]
    kind = list if isinstance(shape, list) else dict if isinstance(shape, dict) else shape
    fits = value is None if kind is None else _is_of(value, kind)
    if not fits:
        expected = "null" if kind is None else NAMES[kind]
        return f"{where or 'it'} is {kind_of(value)}, expected {expected}"
    if isinstance(shape, Whole) and (lacking := [key for key in shape if key not in value]):
        return f"{where or 'it'} lacks {', '.join(lacking)}"
    members: list[tuple[str, Any, Any]] = []
    if isinstance(shape, list):
        # As is every value of a metric for a test set, by the thousand.
        if {float} >= set(map(type, value)) and misfit(0.0, shape[0]) is None:
            return None
        members = [(f"{where}[{index}]", member, shape[0]) for index, member in enumerate(value)]
    elif isinstance(shape, dict):
        if str in shape and (odd := [key for key in value if not isinstance(key, str)]):
            return f"{where or 'it'} has the key {odd[0]!r}, expected a text"
        below = f"{where}." if where else ""
        members = [(f"{below}{key}", value[key], shape.get(str, shape.get(key, object))) for key in value]
    reasons = [
        misfit(member, expected, place) for place, member, expected in members if expected is not object
    ]
    return next((reason for reason in reasons if reason), None)


def _is_of(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)


def kind_of(value: Any) -> str:
    """What a plain value is, with its article."""
    return NAMES.get(type(value), f"a {type(value).__name__}")


def in_short(value: Any) -> str:
    """The value in a line; only its type where it may be large."""
    if value is None or type(value) in (bool, float, str) or (type(value) is int and value.bit_length() < 64):
        text = repr(value)
        return text if len(text) <= 80 else f"{text[:76]}..."
    return f"a {type(value).__name__}"
