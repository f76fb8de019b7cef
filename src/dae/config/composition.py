"""Hydra, made to read and merge the files of ``conf/`` once for each combination of choices.

By itself Hydra does so anew for the command, for each job of a sweep to see whether it can be composed, and
once more when the job begins: half a second each, more than an epoch of a small job. Here it keeps what has
come of the files, and applies the values of a command to a copy, in a tenth of the time; what choices are
new are merged of files that are in memory, in half of it. The functions that are replaced are Hydra's own, of
1.3, which the dependency is held to.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository

# Of Hydra, of its schemas, and conf/: their files stay as they are while a command runs.
KNOWN_SOURCES = ("hydra", "main", "schema")


@contextmanager
def remembered_compositions() -> Iterator[None]:
    """Have Hydra remember within the block; what configs of other folders have a part in is composed anew."""
    if hasattr(ConfigRepository, "__deepcopy__"):  # within such a block
        yield
        return
    make_list = defaults_list._create_defaults_list
    merge = ConfigLoaderImpl._compose_config_from_defaults_list
    read = ConfigRepository.load_config
    files: dict[Any, bytes] = {}  # each reader gets a copy
    lists: dict[Any, Any] = {}
    configs: dict[Any, bytes] = {}

    def loaded(self: ConfigRepository, config_path: str) -> Any:
        key = (_sources(self), config_path)
        if key[0] is None:
            return read(self, config_path)
        if key not in files:
            files[key] = pickle.dumps(read(self, config_path))
        return pickle.loads(files[key])

    def copied(self: ConfigRepository, memo: Any) -> ConfigRepository:
        return copy.copy(self)  # its sources are replaced, never changed

    def listed(repo: Any, config_name: Any, overrides: Any, prepend_hydra: bool, skip_missing: bool) -> Any:
        # Making a list marks the choices as used.
        state = {name: value for name, value in vars(overrides).items() if name != "config_overrides"}
        key = (_sources(repo), config_name, repr(sorted(state.items())), prepend_hydra, skip_missing)
        if key[0] is None:
            return make_list(repo, config_name, overrides, prepend_hydra, skip_missing)
        if key not in lists:
            made = make_list(repo, config_name, overrides, prepend_hydra, skip_missing)
            lists[key] = (made, {name: vars(overrides)[name] for name in state})
        made, after = lists[key]
        vars(overrides).update(after)
        return made

    def merged(self: ConfigLoaderImpl, defaults: Any, repo: Any) -> Any:
        key = (_sources(repo), repr(defaults))
        if key[0] is None:
            return merge(self, defaults, repo)
        if key not in configs:
            configs[key] = pickle.dumps(merge(self, defaults, repo))
        return pickle.loads(configs[key])

    with (
        patch.object(ConfigRepository, "load_config", loaded),
        patch.object(ConfigRepository, "__deepcopy__", copied, create=True),
        patch.object(defaults_list, "_create_defaults_list", listed),
        patch.object(ConfigLoaderImpl, "_compose_config_from_defaults_list", merged),
    ):
        yield


def _sources(repository: Any) -> tuple[str, ...] | None:
    """Where a repository's files come from; None if some of them are a user's own."""
    found = repository.get_sources()
    others = any(source.provider not in KNOWN_SOURCES for source in found)
    return None if others else tuple(source.full_path() for source in found)
