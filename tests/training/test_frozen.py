from __future__ import annotations

from functools import partial

import pytest
import torch

from dae.models.classifier import EncoderClassifier
from dae.models.networks import ClassifierHead, ConvEncoder
from dae.models.optimization import constant
from dae.runs.checkpoint import read
from dae.training.frozen import FrozenError, FrozenGuard
from outcome import BRIEF, Train


def test_running_means_of_frozen_stages_stay_and_those_of_trained_ones_move(train: Train):
    deep = ("dae/encoder=resnet", "dae/decoder=resnet", "dae.encoder.widths=[4,4,4]")
    done = train(*BRIEF, *deep, "callbacks=none", "logger=none")
    assert done.exit_code == 0, done.text
    before, after = (read(done.folder, stage).tensors for stage in ("dae", "classifier"))
    buffers = [name for name in after if name.startswith("encoder.") and "running" in name]
    assert len(buffers) == 3 * 3 * 2
    for name in buffers:
        assert torch.equal(before[name], after[name]) == (not name.startswith("encoder.blocks.2.")), name
        assert before[name].unique().numel() > 1, name  # stage 1 has moved them


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
