"""A config as a list of full key paths and values, and what its keys and names mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# Keys that name a run or compare runs: another value of theirs makes no run another run.
NO_PART_OF_A_RUN = ("compare", "name")
# Keys of a node that mean something to Hydra; all but the first two could change what is built, unseen.
HYDRA_KEYS = frozenset(("_target_", "_partial_", "_args_", "_recursive_", "_convert_"))


def leaves(node: Any, path: str = "") -> list[tuple[str, Any]]:
    """Full key path and value of everything that is no mapping, or an empty one."""
    if not isinstance(node, dict) or not node:
        return [(path, node)]
    return [
        leaf for key, value in node.items() for leaf in leaves(value, f"{path}.{key}" if path else str(key))
    ]


def overlap(path: str, other: str) -> bool:
    """Whether one key path is the other, or lies below it."""
    return f"{path}.".startswith(f"{other}.") or f"{other}.".startswith(f"{path}.")


def select(node: Any, path: str) -> Any:
    """The value at a full key path; None where there is none."""
    for key in path.split("."):
        node = node.get(key) if isinstance(node, dict) else None
    return node


def is_admitted(name: str, packages: Sequence[str]) -> bool:
    """Whether the full name of a class or a module lies in one of the packages."""
    return any(f"{name}.".startswith(f"{package}.") for package in packages if package)
