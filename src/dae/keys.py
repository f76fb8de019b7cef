"""A config as the full paths of its keys."""

from __future__ import annotations

from typing import Any

# Keys that name a run or compare runs: another value of theirs makes no run another run.
NO_PART_OF_A_RUN = ("compare", "name")


def leaves(node: Any, path: str = "") -> list[tuple[str, Any]]:
    """Full key path and value of everything that is no mapping, or an empty one."""
    if not isinstance(node, dict) or not node:
        return [(path, node)]
    return [
        leaf for key, value in node.items() for leaf in leaves(value, f"{path}.{key}" if path else str(key))
    ]
