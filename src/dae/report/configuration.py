"""A run's config beside the defaults."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

from dae.config.groups import conf_folder
from dae.keys import leaves
from dae.sweeps.jobs import read_yaml

ABSENT = "(absent)"


@dataclass(frozen=True)
class Row:
    """A key of the config.

    Attributes:
        value: As one would type it.
        default: The same of ``conf/``, or that there is no such key.
        follows: The key that its default is taken from; None if it has a default of its own.
        differs: Whether somebody has chosen it: what only follows another key does not count.
    """

    key: str
    value: str
    default: str
    follows: str | None
    differs: bool


def config_rows(file: Path) -> list[Row]:
    """All keys of a ``config.yaml``, then those that only the defaults have; none without a file."""
    config = read_yaml(file)
    if not isinstance(config, dict):
        return []
    given = dict(leaves(config))
    resolved, origins = default_config()
    found = []
    for key in {**given, **resolved}:
        value, default = given.get(key, ABSENT), resolved.get(key, ABSENT)
        follows = origins.get(key)
        # A run that did not come so far as to write its own config has Hydra's, with the links in it.
        moved_along = follows is not None and value in (given.get(follows), f"${{{follows}}}")
        differs = value != default and not moved_along
        found.append(Row(key, _typed(value), _typed(default), follows, differs))
    return found


@cache
def default_config() -> tuple[dict[str, Any], dict[str, str]]:
    """Each key of the config that no override has touched, and the keys that are taken from others.

    Composed by Hydra's loader itself: ``hydra.compose`` would take the place of the job that is running.
    """
    version.setbase("1.3")
    loader = ConfigLoaderImpl(create_config_search_path(str(conf_folder())))
    config = loader.load_configuration("train", overrides=[], run_mode=RunMode.RUN)
    with open_dict(config):
        del config["hydra"]
    resolved = dict(leaves(OmegaConf.to_container(config, resolve=True)))
    raw = leaves(OmegaConf.to_container(config, resolve=False))
    links = {key: re.fullmatch(r"\$\{([\w.]+)\}", str(value)) for key, value in raw}
    return resolved, {key: link.group(1) for key, link in links.items() if link}


def _typed(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
