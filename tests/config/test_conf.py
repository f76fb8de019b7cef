"""Each file of conf/ composes, is accepted, and can be built."""

from __future__ import annotations

import re

import pytest
import torch

from dae.config.building import build, with_sizes
from dae.config.compose import conf_folder, group_choices, group_names
from dae.config.preflight import check_config
from dae.models.networks import ConvEncoder
from helpers import composed

CHOICES = [
    f"{group}={choice}"
    for group in group_names()
    if group not in ("optimizer", "scheduler")
    for choice in group_choices(group)
]


@pytest.mark.parametrize("choice", CHOICES)
def test_each_choice_is_accepted(choice, tmp_path, monkeypatch):
    """By the check that also builds all parts. Neither a GPU nor images are there."""
    known = {
        "trainer=gpu": ["trainer.accelerator=cpu"],
        "data=image_folder": ["data.image_size=28", "data.channels=1"],
    }
    if choice in ("logger=wandb", "logger=mlflow"):
        pytest.importorskip(choice.partition("=")[2])
    monkeypatch.chdir(tmp_path)
    overrides = [choice, *known.get(choice, [])]
    cfg = composed(*overrides)
    check_config(cfg)
    assert build(cfg.data).batch_size == cfg.data.batch_size


def test_the_defaults_are_the_notebooks():
    cfg = composed("experiment=notebook")
    assert (cfg.data.source._target_.rpartition(".")[2], cfg.data.batch_size, cfg.data.validation) == (
        "mnist",
        128,
        "test",
    )
    assert (cfg.dae.epochs, cfg.classifier.epochs) == (10, 10)
    assert cfg.dae.optimizer._target_ == cfg.classifier.optimizer._target_ == "torch.optim.Adam"
    assert cfg.dae.optimizer.lr == cfg.classifier.optimizer.lr == 1e-3
    assert (cfg.dae.noise._target_, cfg.dae.noise.p) == ("dae.models.noise.Dropout", 0.2)
    assert cfg.trainer.precision == "32-true"
    assert composed().data.validation == 5000


def test_size_and_channels_reach_the_networks():
    cfg = composed("data.image_size=32", "data.channels=3", "dae.encoder.widths=[8,6,4]")
    encoder, decoder = (build(with_sizes(cfg.dae[name], 32, 3)) for name in ("encoder", "decoder"))
    assert isinstance(encoder, ConvEncoder)
    assert decoder(encoder(torch.rand(1, 3, 32, 32))).shape == (1, 3, 32, 32)


def test_the_reference_noise_does_not_follow_the_trained_one():
    cfg = composed("dae/noise=gaussian", "dae.noise.std=0.7")
    assert cfg.dae.noise._target_.endswith("Gaussian")
    assert cfg.dae.reference_noise._target_.endswith("Dropout")
    assert cfg.dae.reference_noise.p == 0.2


def test_every_key_has_a_comment():
    bare = []
    for file in conf_folder().rglob("*.yaml"):
        relative = file.relative_to(conf_folder()).as_posix()
        if relative.startswith(("hydra/", "local/")) or relative == "train.yaml":
            continue
        for line in file.read_text().splitlines():
            leaf = re.match(r"\s*(\w+): \S", line)
            if leaf and leaf.group(1) not in ("_target_", "_partial_", "defaults") and "#" not in line:
                bare.append(f"{relative}: {line}")
    assert not bare


def test_each_experiment_opens_with_its_command_and_what_to_expect():
    for group in ("experiment", "debug"):
        for choice in group_choices(group):
            head = (conf_folder() / group / f"{choice}.yaml").read_text().split("\n\n")[0]
            assert f"python train.py {group}={choice}" in head
            assert "# Expect " in head
