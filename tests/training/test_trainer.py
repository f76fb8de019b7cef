from __future__ import annotations

import ctypes
import os

import pytest
import torch

from dae.errors import ConfigError
from dae.training.trainer import best_precision, build_trainer, device_type


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_without_cuda_no_step_looks_for_its_driver(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    build_trainer(1, [], [], tmp_path)
    parameter = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.Adam([parameter], fused=True)
    looked_for: list[str] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name, *rest, **options: looked_for.append(name))
    parameter.grad = torch.ones(3)
    optimizer.step()
    assert looked_for == []
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_a_gpu_that_is_there_stays_in_sight(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    build_trainer(1, [], [], tmp_path, accelerator="cpu")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


@pytest.mark.parametrize(("computes", "chosen"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_is_bf16_where_the_processor_computes_in_it(monkeypatch, computes, chosen):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: computes)
    precision, why = best_precision("cpu")
    assert precision == chosen
    assert "bf16" in why


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"(?s)'cuda', but this machine has .*cpu.*trainer=auto"):
        device_type("cuda")
