"""Hydra, made to read and merge the files of ``conf/`` once for each combination of choices.

It does so anew for every run, twice, and for every job of a sweep, three times: a third of a short run. Here
it keeps what has come of the files, and applies the values of a command to a copy.
"""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra.types import RunMode

# What may set hydra.mode, and no file of conf/ but an experiment does.
SETS_THE_MODE = ("experiment=", "+experiment=", "hydra.mode=")


def remember_compositions(patch: pytest.MonkeyPatch) -> None:
    """Patch Hydra for this process.

    Configs from other folders than ``conf/`` are left alone: their files may change while the tests run.
    """
    lists: dict[Any, Any] = {}
    configs: dict[Any, bytes] = {}
    make_list, merge = (
        defaults_list._create_defaults_list,
        ConfigLoaderImpl._compose_config_from_defaults_list,
    )
    read_mode = Hydra.get_mode

    def sources(repository: Any) -> tuple[str, ...] | None:
        found = repository.get_sources()
        others = any(source.provider not in ("hydra", "main", "schema") for source in found)
        return None if others else tuple(source.full_path() for source in found)

    def listed(repo: Any, config_name: Any, overrides: Any, prepend_hydra: bool, skip_missing: bool) -> Any:
        state = {name: value for name, value in vars(overrides).items() if name != "config_overrides"}
        key = (sources(repo), config_name, repr(sorted(state.items())), prepend_hydra, skip_missing)
        if key[0] is None:
            return make_list(repo, config_name, overrides, prepend_hydra, skip_missing)
        if key not in lists:
            made = make_list(repo, config_name, overrides, prepend_hydra, skip_missing)
            lists[key] = (made, {name: vars(overrides)[name] for name in state})
        made, after = lists[key]
        vars(overrides).update(after)
        return made

    def merged(self: ConfigLoaderImpl, defaults: Any, repo: Any) -> Any:
        key = (sources(repo), repr(defaults))
        if key[0] is None:
            return merge(self, defaults, repo)
        if key not in configs:
            configs[key] = pickle.dumps(merge(self, defaults, repo))
        return pickle.loads(configs[key])

    def mode(self: Hydra, config_name: str | None, overrides: list[str]) -> RunMode | None:
        may_be_set = any(text.startswith(SETS_THE_MODE) for text in overrides)
        return read_mode(self, config_name, overrides) if may_be_set or config_name != "train" else None

    patch.setattr(defaults_list, "_create_defaults_list", listed)
    patch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", merged)
    patch.setattr(Hydra, "get_mode", mode)
