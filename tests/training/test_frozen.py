from __future__ import annotations

from functools import partial

import pytest
import torch

from dae.models.classifier import EncoderClassifier
from dae.models.networks import ClassifierHead, ConvEncoder
from dae.models.optimization import constant
from dae.training.frozen import FrozenError, FrozenGuard


def test_a_change_of_a_frozen_tensor_is_an_error_and_of_a_trained_one_is_not():
    head = ClassifierHead(256, 10, None)
    module = EncoderClassifier(ConvEncoder(), head, 1, partial(torch.optim.Adam), constant)
    guard = FrozenGuard()
    guard.on_fit_start(None, module)  # type: ignore[arg-type]
    with torch.no_grad():
        module.encoder.blocks[2].conv.weight.add_(1)  # type: ignore[union-attr,index]
        module.head[1].weight.add_(1)  # type: ignore[index]
    guard.on_fit_end(None, module)  # type: ignore[arg-type]
    with torch.no_grad():
        module.encoder.blocks[1].conv.bias[0] += 1e-6  # type: ignore[union-attr,index]
    with pytest.raises(FrozenError, match="frozen tensors changed during the fit: sha256"):
        guard.on_fit_end(None, module)  # type: ignore[arg-type]
