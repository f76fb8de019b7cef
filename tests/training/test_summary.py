from __future__ import annotations

import torch

from dae.models.networks import ConvDecoder, ConvEncoder
from dae.training.summary import model_table


def test_shapes_counts_and_what_is_frozen():
    module = torch.nn.Sequential(ConvEncoder(), ConvDecoder())
    module[0].blocks[:2].requires_grad_(False)  # type: ignore[index]
    module.train()
    lines = [line.split() for line in model_table(module, torch.zeros(2, 1, 28, 28)).splitlines()]
    assert lines[0] == ["layer", "type", "output", "parameters"]
    assert lines[1] == ["0.blocks.0.conv", "Conv2d", "32", "x", "28", "x", "28", "320", "frozen"]
    assert lines[3][-2:] == ["2,320", "trained"]
    assert lines[7] == ["1.convs.3", "UpsampledConv", "1", "x", "28", "x", "28", "289", "trained"]
    assert " ".join(lines[8]) == "16,833 parameters, 11,889 trained, 4,944 frozen"
    assert module.training
    assert not any(layer._forward_hooks for layer in module.modules())
