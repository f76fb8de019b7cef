from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Literal

import pytest
import torch
from torch import nn

from dae.models.classifier import EncoderClassifier
from dae.models.networks import ClassifierHead, ConvEncoder
from dae.models.optimization import constant


class BatchNormEncoder(nn.Module):
    """An encoder with buffers, which a forward pass in training mode changes."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(nn.Sequential(nn.Conv2d(c, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4)) for c in (1, 4, 4))
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.blocks(images)


def classifier(
    encoder: nn.Module, trainable_blocks: int | Literal["all"], features: int = 256
) -> EncoderClassifier:
    head = ClassifierHead(features, 10, 64)
    optimizer = partial(torch.optim.Adam, lr=1e-2)
    return EncoderClassifier(encoder, head, trainable_blocks, optimizer, constant)


@pytest.mark.parametrize(
    ("blocks", "trained"), [(0, 17_098), (1, 19_418), (2, 24_042), (3, 24_362), ("all", 24_362)]
)
def test_trainable_blocks_count_from_the_latent_back(blocks, trained):
    module = classifier(ConvEncoder(), blocks)
    assert sum(p.numel() for p in module.parameters() if p.requires_grad) == trained
    frozen = sum(tensor.numel() for tensor in module.frozen_tensors().values())
    assert frozen == 24_362 - trained
    if blocks == 1:
        assert frozen == 4_944
        assert module.encoder.blocks[2].conv.weight.requires_grad  # type: ignore[union-attr,index]


@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_frozen_weights_and_buffers_stay_while_the_rest_moves(blocks):
    torch.manual_seed(0)
    module = classifier(BatchNormEncoder(), blocks, features=4 * 4 * 4)
    module.train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    frozen = module.frozen_tensors()
    assert len(frozen) == (3 - blocks) * 7
    optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], 0.1)
    for _ in range(3):
        loss = nn.functional.cross_entropy(module(torch.rand(8, 1, 28, 28)), torch.arange(8))
        loss.backward()
        optimizer.step()
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name]) == (name in frozen), name
    assert all(parameter.grad is None for parameter in module.parameters() if not parameter.requires_grad)


def test_frozen_blocks_stay_in_evaluation_mode():
    module = classifier(BatchNormEncoder(), 1, 64)
    for _ in range(2):
        modes = [block.training for block in module.encoder.blocks]  # type: ignore[union-attr]
        assert modes == [False, False, True]
        assert module.head.training
        module.eval()
        assert not any(part.training for part in module.modules())
        module.train()


def test_state_dict_holds_encoder_and_head_and_nothing_else():
    names = {name.split(".")[0] for name in classifier(ConvEncoder(), 1).state_dict()}
    assert names == {"encoder", "head"}


def test_what_is_frozen_has_no_entry_in_the_optimizer():
    module = classifier(ConvEncoder(), 1)
    module._trainer = SimpleNamespace(estimated_stepping_batches=10)  # type: ignore[assignment]
    entries = module.configure_optimizers()["optimizer"].param_groups[0]["params"]
    assert sum(parameter.numel() for parameter in entries) == 19_418


@pytest.mark.parametrize(("trainable_blocks", "frozen"), [(0, 1), (1, 0), ("all", 0)])
def test_an_encoder_without_blocks_is_frozen_or_trained_as_a_whole(trainable_blocks, frozen):
    encoder = nn.Sequential(nn.Conv2d(1, 2, 3, stride=7), nn.ReLU())
    module = classifier(encoder, trainable_blocks, features=32)
    images = torch.rand(3, 1, 28, 28)
    assert torch.equal(module(images), module.head(encoder(images)))
    assert len(module.frozen_blocks) == frozen
    assert any(weight.requires_grad for weight in encoder.parameters()) == (not frozen)
