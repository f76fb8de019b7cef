"""What a job of a sweep has read and computed, kept in the process for the next one that needs the very same.

Many jobs of a study differ in what they do with the same images, or with the same features of them. A key
holds everything that its value depends on, so that a job's result is the same with the shelf and without.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

# What was used least recently has to go when there is more.
MOST_BYTES = 2**30

_items: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()


def shelved(key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:
    """The value that is kept under ``key``, or one that is made and kept now.

    Args:
        key: All that the value depends on.
        make: Makes it.
        size: Its bytes. What is larger than the whole shelf is not kept.
    """
    if key in _items:
        _items.move_to_end(key)
        return _items[key][0]
    value = make()
    _items[key] = (value, size(value))
    while sum(size for _, size in _items.values()) > MOST_BYTES:
        _items.popitem(last=False)
    return value


def clear() -> None:
    """Give everything back."""
    _items.clear()
