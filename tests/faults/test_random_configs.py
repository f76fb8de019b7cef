"""Any config is refused in words, or runs to an end in words."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf, open_dict

from dae.config.settings import find_problems
from dae.errors import Problem, TimeUp, UserError
from dae.keys import leaves
from dae.run import run
from helpers import composed

Changes = list[tuple[str, Any]]

ALL = ("callbacks=[all,early_stopping]", "logger=[tensorboard,csv]", "trainer=cpu")
SCHEDULES = ("dae/scheduler=one_cycle", "classifier/scheduler=cosine", "dae/noise=block")


@cache
def base() -> DictConfig:
    return composed("data=digits", "debug=smoke", *ALL, *SCHEDULES)


KEYS = [key for key, _ in leaves(OmegaConf.to_container(base()))]
WORDS = sorted({str(value) for _, value in leaves(OmegaConf.to_container(base())) if isinstance(value, str)})
DELETED = "(deleted)"
VALUES = st.one_of(
    st.sampled_from(
        [DELETED, None, True, False, "", "auto", "none", "null", "test", "nan", "inf", "-1", "1/class"]
    ),
    st.sampled_from(
        [0, 1, 2, 3, 4, 8, 28, 32, 100, 128, 1293, 10**6, 10**9, 2**31, 2**63, 10**30, -1, -(10**30)]
    ),
    st.sampled_from(
        [0.0, 1e-9, 5e-324, 0.1, 0.5, 0.999, 1.0, 1.5, 1e9, 1e30, 1e308, -0.5, float("nan"), float("inf")]
    ),
    st.sampled_from(
        [[], [0], [1, 2, 3], [32, 16, 16], [0.9, 0.999], [[1]], [None], {}, {"a": 1}, {"hours": 1}]
    ),
    st.sampled_from([f"${{{key}}}" for key in KEYS] + ["${nowhere}", "${", "${oc.env:HOME}", "???"]),
    st.sampled_from(WORDS),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
)
# Of the kind that is there: what a check accepts most.
LIKELY: dict[type, list[Any]] = {
    bool: [True, False],
    int: [1, 2, 3, 8, 12, 28, 100, 10**6, 10**9],
    float: [0.0, 1e-9, 0.001, 0.1, 0.5, 0.999, 1.0, 1e9, 1e30],
    str: WORDS,
    list: [[1, 1, 1], [0.5, 0.5], [8, 16, 4], [0.0, 0.9], []],
    type(None): [None, 1, 8, 0.5, "simple", "advanced", True, "10/class", {"hours": 1}],
}


@st.composite
def change(draw: st.DrawFn) -> tuple[str, Any]:
    key = draw(st.sampled_from(KEYS))
    likely = st.sampled_from(LIKELY.get(type(OmegaConf.select(base(), key)), [{}]))
    return key, draw(likely | likely | VALUES)


CHANGES = st.lists(change(), min_size=1, max_size=3)


def changed(changes: Changes) -> DictConfig | None:
    """The config with other values; None if OmegaConf itself has no such config."""
    cfg = copy.deepcopy(base())
    for key, value in changes:
        parent, _, name = key.rpartition(".")
        try:
            with open_dict(cfg):
                node = OmegaConf.select(cfg, parent) if parent else cfg
                if not isinstance(node, DictConfig):
                    return None
                node.pop(name, None) if value == DELETED else OmegaConf.update(cfg, key, value, merge=False)
        except Exception:
            return None
    return cfg


def checked(changes: Changes) -> tuple[DictConfig | None, list[Problem]]:
    cfg = changed(changes)
    problems = [] if cfg is None else find_problems(cfg)
    assert all(problem.where and problem.what for problem in problems)
    return cfg, problems


@settings(derandomize=True, max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(CHANGES)
def test_any_config_is_accepted_or_refused_in_words(changes):
    checked(changes)


@pytest.mark.faults
def test_a_thousand_configs(tally: Callable[[str, str], None], tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    accepted: list[tuple[Changes, DictConfig]] = []

    @settings(derandomize=True, max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
    @given(CHANGES)
    def attack(changes):
        cfg, problems = checked(changes)
        tally(
            "random configs", "refused in words" if problems else "no config" if cfg is None else "accepted"
        )
        if cfg is not None and not problems:
            accepted.append((changes, cfg))

    attack()
    runnable = [(changes, cfg) for changes, cfg in accepted if cfg.data.source == "digits"]
    every = max(1, len(runnable) // 40)
    wrong = []
    for number, (changes, cfg) in enumerate(runnable[::every][:40]):
        outcome = ended(within_a_minute(cfg, changes), tmp_path / str(number))
        tally("random configs that were accepted and run", outcome.partition(":")[0])
        if outcome.startswith("an error of the code"):
            wrong.append((changes, outcome))
    assert not wrong, "\n".join(f"{changes}: {outcome}" for changes, outcome in wrong)


def within_a_minute(cfg: DictConfig, changes: Changes) -> DictConfig:
    """The same with few epochs and steps, and without callbacks unless they are what is tried."""
    short = copy.deepcopy(cfg)
    if not any(key == "objective" or "callbacks" in f"{key}{value}" for key, value in changes):
        short.callbacks = {}
    for key, most in (("dae.epochs", 2), ("classifier.epochs", 2), ("data.least_steps", 200)):
        OmegaConf.update(short, key, min(most, OmegaConf.select(short, key) or 0))
    if short.data.least_steps == 0:
        short.data.least_steps = 1
    with open_dict(short.trainer):
        short.trainer.limit_train_batches = 3
        if not short.trainer.get("max_time"):
            short.trainer.max_time = "00:00:01:00"
    return short


def ended(cfg: DictConfig, folder: Path) -> str:
    folder.mkdir()
    try:
        run(cfg, folder, "python train.py")
    except UserError as error:
        return f"ended in words: {error}"
    except TimeUp as error:
        return f"interrupted in words: {error}"
    except Exception as error:
        return f"an error of the code: {type(error).__name__}: {error}"
    finally:
        torch.use_deterministic_algorithms(False)
        torch.autograd.set_detect_anomaly(False)
    if cfg.stage != "data":
        assert json.loads((folder / "result.json").read_text(encoding="utf-8"))["status"] == "completed"
    return "completed"
