"""A run's config compared with the defaults."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

from dae.config.compose import conf_folder
from dae.schema import leaves

ABSENT = "(absent)"
# The groups of which a run has any number of choices at once, each a node of its own.
LISTS = ("callbacks", "logger")


@dataclass(frozen=True)
class Row:
    """A key of the config.

    Attributes:
        value: As one would type it.
        default: The value in ``conf/``, as one would type it; ``(absent)`` if the key is not there.
        follows: The key that the default is taken from; None if it has a default of its own.
        differs: Whether the value was chosen: one that only follows another key does not count.
    """

    key: str
    value: str
    default: str
    follows: str | None
    differs: bool


def config_rows(config: Mapping[str, Any]) -> list[Row]:
    """All keys of a config, then those that only the defaults have; none without a config."""
    if not config:
        return []
    given = dict(leaves(config))
    resolved, origins = default_config()
    found = []
    for key in {**given, **resolved}:
        value, default = given.get(key, ABSENT), resolved.get(key, ABSENT)
        follows = origins.get(key)
        # A run that ended before it wrote its own config has Hydra's, in which the links are not resolved.
        moved_along = follows is not None and value in (given.get(follows), f"${{{follows}}}")
        differs = value != default and not moved_along
        found.append(Row(key, _typed(value), _typed(default), follows, differs))
    return found


def chosen_rows(rows: list[Row]) -> list[Row]:
    """The rows that differ; callbacks and loggers that were added or removed are named in a row."""
    chosen = [row for row in rows if row.differs and row.key.partition(".")[0] not in LISTS]
    for group in LISTS:
        nodes = {row: row.key.split(".")[1] for row in rows if row.key.startswith(f"{group}.")}
        present = {name for row, name in nodes.items() if row.value != ABSENT}
        default = {name for row, name in nodes.items() if row.default != ABSENT}
        chosen += [row for row, name in nodes.items() if row.differs and name in present & default]
        changes = {"added": present - default, "removed": default - present}
        words = [f"{word}: {', '.join(sorted(names))}" for word, names in changes.items() if names]
        if words:
            chosen.append(Row(group, "; ".join(words), ", ".join(sorted(default)), None, True))
    return chosen


@cache
def default_config() -> tuple[dict[str, Any], dict[str, str]]:
    """The config without any override: the value of each key, and the key that a value is taken from.

    Composed by Hydra's loader itself: ``hydra.compose`` would replace the global state of a running job.
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
