"""The one place where a config becomes objects; and where a dry build tries whether it can, without data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from pytorch_lightning import Callback, Trainer
from torch import nn
from torch.optim import Optimizer

from dae.config.settings import stages_to_run, training_noise, uses_pretrained
from dae.data.images import ImageDataModule
from dae.errors import Problem, UserError, with_place
from dae.models.networks import blocks_of
from dae.models.noise import Noise
from dae.models.optimization import make_schedule
from dae.schema import argument_hints, argument_problems, locate
from dae.text import pluralize
from dae.training.stage import quiet_lightning

Config = dict[str, Any]


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


class _DryBuild:
    """Builds what a run will use, and collects why something cannot be built."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.problems: list[Problem] = []

    def attempt(self, where: str, wanted: type | None, make: Callable[[], Any]) -> Any:
        """What ``make`` makes; None where that fails, or is of another class."""
        try:
            made = make()
        except Exception as error:  # whatever a class says to its arguments
            own = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
            self.problems.append(Problem(where, with_place(own)))
            return None
        if wanted is not None and not isinstance(made, wanted):
            expected = f"{wanted.__module__.partition('.')[0]} {wanted.__name__}"
            what = f"found a {type(made).__name__}, expected a {expected}"
            self.problems.append(Problem(where, what))
            return None
        return made

    def networks(self) -> None:
        """On torch's meta device, where tensors take no memory; two blank images pass through them."""
        config, stages = self.config, stages_to_run(self.config)
        side, channels = config["data"]["image_size"], config["data"]["channels"]
        images = torch.zeros(2, channels, side, side, device="meta")

        def passed(key: str, node: Config, inputs: Any, kind: type = nn.Module, **more: Any) -> Any:
            if inputs is None:
                return None, None
            sized = with_sizes(node, side, channels, **more)
            for problem in argument_problems(locate(node["_target_"]), sized, f"dae.{key}"):
                where = "data.image_size" if problem.where.endswith("image_size") else problem.where
                self.problems.append(replace(problem, where=where))
                return None, None
            with torch.device("meta"):
                module = self.attempt(f"dae.{key}", kind, lambda: build(sized).to("meta"))
            if module is None:
                return None, None
            with torch.no_grad():
                outputs = self.attempt(f"dae.{key}", torch.Tensor, lambda: module(inputs))
            return module, outputs

        passed("reference_noise", config["dae"]["reference_noise"], images, Noise)
        untrained = config["classifier"]["encoder"] != "none" and not uses_pretrained(config)
        if "dae" not in stages and not untrained:
            return
        _, noisy = passed("noise", training_noise(config), images, Noise)
        encoder, latents = passed("encoder", config["dae"]["encoder"], noisy)
        if latents is not None and "dae" in stages:
            shape = list(latents.shape[1:])
            _, made = passed("decoder", config["dae"]["decoder"], latents, latent_shape=shape)
            if made is not None and made.shape != images.shape:
                found, wanted = (" x ".join(map(str, each.shape[1:])) for each in (made, images))
                self.problems.append(Problem("dae.decoder", f"makes {found} of the latent of {wanted}"))
        if encoder is not None and "classifier" in stages and not config["classifier"]["encoder_checkpoint"]:
            self.problems += blocks_problems(config, encoder)

    def optimizer(self, stage: str) -> None:
        """On one number, for one step."""
        number = torch.zeros(1, requires_grad=True)
        number.grad = torch.zeros(1)
        node = self.config[stage]
        optimizer = self.attempt(f"{stage}.optimizer", Optimizer, lambda: build(node["optimizer"])([number]))
        if optimizer is None:
            return
        self.attempt(f"{stage}.optimizer", None, lambda: optimizer.step(lambda: torch.zeros(())))
        self.attempt(
            f"{stage}.scheduler", None, lambda: make_schedule(build(node["scheduler"]), optimizer, 10, "")
        )

    def others(self) -> None:
        """The Trainer and the user's callbacks."""
        given: Config = {"max_epochs": 1, "callbacks": [], "logger": [], "folder": Path()}
        self.attempt("trainer", Trainer, lambda: build(self.config["trainer"])(**given))
        for key, node in self.config["callbacks"].items():
            self.attempt(f"callbacks.{key}", Callback, partial(build, node))


def dry_build(config: Config) -> list[Problem]:
    """What cannot be built of a config that fits its schema."""
    quiet_lightning()
    dry = _DryBuild(config)
    dry.others()
    for stage in stages_to_run(config) or ("dae", "classifier"):
        dry.optimizer(stage)
    dry.networks()
    return dry.problems


def blocks_problems(config: Config, encoder: nn.Module) -> Iterator[Problem]:
    """More blocks to train than the encoder has."""
    asked, there = config["classifier"]["trainable_blocks"], len(blocks_of(encoder))
    if asked != "all" and asked > there:
        what = (
            f"found {asked}, but the encoder has {pluralize(there, 'block')}: expected 0 to {there}, or all"
        )
        yield Problem("classifier.trainable_blocks", what, "try classifier.trainable_blocks=all")
