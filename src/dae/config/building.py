"""The one place where a config becomes objects."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from hydra._internal.utils import _locate
from hydra.utils import instantiate


def located(name: str) -> Any:
    """The class or function of this full name; Hydra's ``get_object`` logs an error besides.

    Raises:
        Exception: Whatever its package raises when it is imported.
    """
    try:
        return _locate(name)
    except ImportError as error:
        raise error.__cause__ or error from None


def build(node: Mapping[str, Any]) -> Any:
    """What a node of a config that has been checked describes, a DictConfig or plain values."""
    return instantiate(node, _convert_="all")


def decoder_node(node: Mapping[str, Any], latent_shape: Sequence[int]) -> dict[str, Any]:
    """The description of a decoder of such latents: it is told their shape if its class asks for it."""
    takes = "latent_shape" in inspect.signature(located(node["_target_"])).parameters
    return {**node, "latent_shape": list(latent_shape)} if takes else dict(node)
