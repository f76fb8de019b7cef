"""The one place where a config becomes objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.utils import instantiate


def build(node: Mapping[str, Any]) -> Any:
    """What a node of a config that has been checked describes, a DictConfig or plain values."""
    return instantiate(node, _convert_="all")
