"""The one place where a config becomes objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from hydra.utils import instantiate
from torch import nn

from dae.data.images import ImageDataModule
from dae.errors import UserError
from dae.models.networks import blocks_of
from dae.schema import argument_hints, locate


def build(node: Mapping[str, Any]) -> Any:
    """What a node of a config that has been checked describes, a DictConfig or plain values."""
    return instantiate(node, _convert_="all")


def with_sizes(node: Mapping[str, Any], image_size: int, channels: int, **more: Any) -> dict[str, Any]:
    """The description of a network, with what its class takes of the images and was not given.

    Args:
        node: ``_target_`` and arguments.
        image_size: Side of the images.
        channels: Of the images.
        **more: Such as ``latent_shape``.
    """
    known = {"image_size": image_size, "in_channels": channels, "out_channels": channels, **more}
    takes = argument_hints(locate(node["_target_"]))
    return {**{key: value for key, value in known.items() if key in takes}, **node}


def latent_shape(encoder: nn.Module, data: ImageDataModule) -> tuple[int, ...]:
    """The shape of the latent of one image.

    Raises:
        UserError: Its latents are NaN or infinite; or it does more than to apply its blocks, so that they
            cannot be frozen one by one.
    """
    images = torch.rand(2, data.channels, data.image_size, data.image_size)
    training, name = encoder.training, type(encoder).__name__
    encoder.eval()  # a pass in training mode would change the buffers of what is to be frozen
    with torch.no_grad():
        latents = encoder(images)
        if not latents.isfinite().all():
            raise UserError(f"the {name} makes NaN or infinite latents: its training has diverged")
        blocks = blocks_of(encoder)
        if blocks != [encoder] and not torch.equal(nn.Sequential(*blocks)(images), latents):
            raise UserError(
                f"{name}.forward is not its blocks, one after the other, so they cannot be frozen one by "
                "one. Make what it does besides a part of a block, or give blocks another name: then it is "
                "frozen or trained as a whole"
            )
    encoder.train(training)
    return tuple(latents.shape[1:])
