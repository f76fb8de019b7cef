"""Builds what a run will build, before it begins: what a class refuses is told now, and not after stage 1.

Networks are built on torch's meta device, where tensors have shapes and take no memory. What has been tried
once is remembered, since the jobs of a sweep mostly agree in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from torch import nn

from dae.config.arms import stages_to_run, training_noise, uses_pretrained
from dae.config.building import build, decoder_node
from dae.errors import Problem
from dae.models.networks import blocks_of
from dae.training import trainer as stage_trainer
from dae.training.stage import quiet_lightning
from dae.words import quoted_override

Config = dict[str, Any]
CONVOLUTIONAL = ["dae.models.networks.ConvEncoder", "dae.models.networks.ConvDecoder"]


def unlike_the_data(config: Config) -> Iterator[Problem]:
    """Arguments of our own networks that say something else of the images than the data do."""
    data, dae = config["data"], config["dae"]
    targets = {name: dae[name]["_target_"] for name in ("encoder", "decoder")}
    expected = {"image_size": data["image_size"], "in_channels": data["channels"]}
    expected |= {"out_channels": data["channels"]}
    if list(targets.values()) == CONVOLUTIONAL:
        expected["widths"] = dae["encoder"].get("widths")
    sources = {"image_size": "data.image_size", "in_channels": "data.channels"}
    sources |= {"out_channels": "data.channels", "widths": "dae.encoder.widths"}
    for name, target in targets.items():
        for key, value in dae[name].items():
            if target.startswith("dae.models.") and value != expected.get(key, value):
                where, source = f"dae.{name}.{key}", sources[key]
                what = f"found {value}, but {source} is {expected[key]}"
                yield Problem(where, what, f"leave it out, or try {quoted_override(where, expected[key])}")


def networks_refuse(config: Config) -> Iterator[Problem]:
    """Networks that cannot be built, or that do not fit the images or each other."""
    stages = stages_to_run(config)
    untrained = config["classifier"]["encoder"] != "none" and not uses_pretrained(config)
    if "dae" not in stages and not ("classifier" in stages and untrained):
        return
    tried = try_networks(config, decoder="dae" in stages)
    if isinstance(tried, Problem):
        yield tried


def try_networks(config: Config, decoder: bool = True) -> Networks | Problem:
    """The networks of stage 1 on this run's images, or why there can be none.

    Args:
        config: The config as plain values.
        decoder: Whether it is needed.
    """
    dae, data = config["dae"], config["data"]
    nodes = [training_noise(config), dae["encoder"], dae["decoder"] if decoder else None]
    return _tried_networks(json.dumps(nodes), data["channels"], data["image_size"])


def optimizer_refuses(stage: str, config: Config) -> Iterator[Problem]:
    """An optimizer or a schedule that refuses its arguments or its first step, tried on one number."""
    # What fails on a processor may work on a GPU.
    there = torch.cuda.is_available() or torch.backends.mps.is_available()
    steps = not there or config["trainer"].get("accelerator") == "cpu"
    tried = _tried_optimizer(json.dumps([config[stage]["optimizer"], config[stage]["scheduler"]]), steps)
    if tried is not None:
        key, reason = tried
        yield Problem(f"{stage}.{key}", reason)


def trainer_refuses(config: Config) -> Iterator[Problem]:
    """Arguments that Lightning's Trainer refuses when it is built."""
    reason = _tried_trainer(json.dumps(config["trainer"]))
    if reason is not None:
        yield Problem("trainer", f"Lightning's Trainer refuses its arguments: {reason}")


@dataclass(frozen=True)
class Networks:
    """The networks of stage 1 in figures.

    Attributes:
        weights: Of all of them.
        numbers: What one image becomes on its way through the layers of all of them.
        encoder_numbers: The same through the encoder alone.
        largest: What it becomes in the layer that makes the most of it.
        latent: Numbers in the latent of one image.
        blocks: Of the encoder.
    """

    weights: int
    numbers: int
    encoder_numbers: int
    largest: int
    latent: int
    blocks: int


@cache
def _tried_networks(nodes: str, channels: int, side: int) -> Networks | Problem:
    """Networks that have passed two blank images on, or why they could not.

    Args:
        nodes: JSON of the descriptions of noise, encoder and decoder, or null.
        channels: Of the images.
        side: Of the images.
    """
    shape = f"{channels} x {side} x {side}"
    weights, numbers, largest = [], [], 0
    outputs: Any = None
    for key, node in zip(("dae.noise", "dae.encoder", "dae.decoder"), json.loads(nodes), strict=True):
        if node is None:
            continue
        try:
            if outputs is None:
                outputs = torch.empty(2, channels, side, side, device="meta")
            if key == "dae.decoder":
                node = decoder_node(node, outputs.shape[1:])
            module = _on_meta(node)
            made: list[int] = []
            for part in module.modules():
                if not [*part.children()]:
                    part.register_forward_hook(lambda *passed, made=made: made.append(passed[-1][0].numel()))
            with torch.no_grad():
                outputs = module(outputs)
            if key == "dae.encoder":
                latent, blocks = outputs[0].numel(), len(blocks_of(module))
        except Exception as error:
            return Problem(key, f"fails on images of {shape}: {_reason(error)}")
        numbers.append(sum(made))
        largest = max(largest, *made)
        weights.append(sum(weight.numel() for weight in module.parameters()))
    if node is not None and outputs.shape != (2, channels, side, side):
        made_of_it = " x ".join(map(str, outputs.shape[1:]))
        what = f"makes {made_of_it} of the latent of an image of {shape}, which it has to give back"
        return Problem("dae.decoder", what)
    return Networks(sum(weights), sum(numbers), numbers[1], largest, latent, blocks)


def _on_meta(node: Config) -> nn.Module:
    with torch.device("meta"):
        module: nn.Module = build(node)
    return module.to("meta")  # a buffer that was made of a tensor is still elsewhere


@cache
def _tried_optimizer(nodes: str, steps: bool) -> tuple[str, str] | None:
    """The key of an optimizer or of a schedule, and why it fails; None if it does not.

    Args:
        nodes: JSON of both descriptions.
        steps: Whether to take a step.
    """
    described = dict(zip(("optimizer", "scheduler"), json.loads(nodes), strict=True))
    parameter = torch.zeros(1, requires_grad=True)
    parameter.grad = torch.zeros(1)
    key, what = "optimizer", "arguments"
    try:
        built = build(described[key])([parameter])
        key = "scheduler"
        schedule = build(described[key])(built, 10)
        if steps:
            key, what = "optimizer", "first step"
            built.step(lambda: torch.zeros(()))
            key = "scheduler"
            if schedule is not None:
                schedule.step()
    except Exception as error:
        name = described[key]["_target_"].rpartition(".")[2]
        return key, f"{name} refuses its {what}: {_reason(error)}"
    return None


@cache
def _tried_trainer(node: str) -> str | None:
    quiet_lightning()
    stage_trainer.log.disabled = True  # the run says itself which device it takes
    try:
        make = build(json.loads(node))
        make(max_epochs=1, callbacks=[], logger=[], folder=Path())
    except Exception as error:
        return _reason(error)
    finally:
        stage_trainer.log.disabled = False
    return None


def _reason(error: Exception) -> str:
    """What a class has said itself, in one line."""
    own = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
    lines = str(own).strip().splitlines()
    return lines[0] if lines else type(own).__name__
