"""Hydra, made to compose each config once.

It composes that of a run twice and that of a job of a sweep three times, and each time takes a sixth of a
short run. Since the result is the same, a copy will do.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig

# What may set hydra.mode, and no file of conf/ but an experiment does.
SETS_THE_MODE = ("experiment=", "+experiment=", "hydra.mode=")


def remember_compositions(patch: pytest.MonkeyPatch) -> None:
    """Let Hydra's loader give a copy of what it has composed before in this process.

    Only of configs from ``conf/`` alone: the files of other folders may change while the tests run.
    """
    remembered: dict[Any, bytes] = {}
    compose, read_mode = ConfigLoaderImpl._load_configuration_impl, Hydra.get_mode

    def compose_or_copy(
        self: ConfigLoaderImpl, config_name: str | None, overrides: Sequence[str], *rest: Any, **named: Any
    ) -> DictConfig:
        others = any(source.provider == "command-line" for source in self.get_sources())
        others |= any(text.startswith("hydra.searchpath") for text in overrides)
        plugins = len(Plugins.instance().class_name_to_class)
        key = (config_name, *overrides, plugins, repr(rest), repr(named))
        if others or config_name != "train":
            return compose(self, config_name, list(overrides), *rest, **named)
        if key not in remembered:
            remembered[key] = pickle.dumps(compose(self, config_name, list(overrides), *rest, **named))
        config: DictConfig = pickle.loads(remembered[key])
        config.hydra.runtime.cwd = str(Path.cwd())
        return config

    def mode(self: Hydra, config_name: str | None, overrides: list[str]) -> RunMode | None:
        may_be_set = any(text.startswith(SETS_THE_MODE) for text in overrides)
        return read_mode(self, config_name, overrides) if may_be_set or config_name != "train" else None

    patch.setattr(ConfigLoaderImpl, "_load_configuration_impl", compose_or_copy)
    patch.setattr(Hydra, "get_mode", mode)
