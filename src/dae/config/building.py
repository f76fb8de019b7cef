"""The one place where a config becomes objects."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.utils import get_object, instantiate


def build(node: Mapping[str, Any]) -> Any:
    """What a node of a config that has been checked describes, a DictConfig or plain values."""
    return instantiate(node, _convert_="all")


def decoder_node(node: Mapping[str, Any], latent_shape: Sequence[int]) -> dict[str, Any]:
    """The description of a decoder of such latents: it is told their shape if its class asks for it."""
    takes = "latent_shape" in inspect.signature(get_object(node["_target_"])).parameters
    return {**node, "latent_shape": list(latent_shape)} if takes else dict(node)
