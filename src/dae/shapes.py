"""Which plain values a file holds, as a shape to compare them with."""

from __future__ import annotations

import math
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


def plain_problem(value: Any, where: str) -> str:
    """What keeps a value from being a scalar, or lists and mappings of such; empty if nothing does."""
    if isinstance(value, dict):
        odd = next((key for key in value if type(key) is not str), None)
        if odd is not None:
            return f"{where} has {in_short(odd)} as a key, expected text"
        members = [plain_problem(member, f"{where}.{key}") for key, member in value.items()]
    elif isinstance(value, list | tuple):
        members = [plain_problem(member, f"{where}[{index}]") for index, member in enumerate(value)]
    elif type(value) is int and value.bit_length() > 63:
        return f"{where} is an integer of {value.bit_length()} bits"
    elif type(value) is float and not math.isfinite(value):
        return f"{where} is {value}"
    elif value is None or type(value) in (bool, int, float, str):
        return ""
    else:
        return f"{where} is a {type(value).__name__}, expected a plain value"
    return next(filter(None, members), "")


def in_short(value: Any) -> str:
    """The value in a line; only its type where it may be large."""
    if value is None or type(value) in (bool, float, str) or (type(value) is int and value.bit_length() < 64):
        text = repr(value)
        return text if len(text) <= 80 else f"{text[:76]}..."
    return f"a {type(value).__name__}"
