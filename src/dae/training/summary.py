"""A table of a model's layers: output shapes, parameters, trained or frozen."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dae.words import aligned


def model_table(module: nn.Module, images: Tensor) -> str:
    """A row for each layer that has parameters, in the order in which ``images`` (N, C, H, W) pass them.

    A last line counts the parameters of all, of the trained, of the frozen.
    """
    names = {layer: name for name, layer in module.named_modules()}
    rows: list[tuple[str, str, str, str, str]] = []

    def record(layer: nn.Module, _: Any, output: Any) -> None:
        parameters = list(layer.parameters())
        trained = any(parameter.requires_grad for parameter in parameters)
        shape = " x ".join(map(str, getattr(output, "shape", ())[1:]))
        count = sum(parameter.numel() for parameter in parameters)
        rows.append(
            (names[layer], type(layer).__name__, shape, f"{count:,}", "trained" if trained else "frozen")
        )

    own = [layer for layer in module.modules() if list(layer.parameters(recurse=False))]
    handles = [layer.register_forward_hook(record) for layer in own]
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            module(images)
    finally:
        module.train(training)
        for handle in handles:
            handle.remove()

    header = ("layer", "type", "output", "parameters", "")
    lines = aligned([header, *rows], right=[3])
    total = sum(parameter.numel() for parameter in module.parameters())
    trained = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
    lines.append(f"{total:,} parameters, {trained:,} trained, {total - trained:,} frozen")
    return "\n".join(f"  {line}" for line in lines)
