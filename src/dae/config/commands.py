"""What a printed command has to carry so that it works from where the user stands."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from dae.config.groups import choice_node
from dae.keys import leaves
from dae.words import path_from_here, quoted_override


def same_data_words(config: Mapping[str, Any], hydra: Mapping[str, Any]) -> list[str]:
    """The end of a command on the same images: ``data=digits data.limit=200``, quoted for a shell.

    Args:
        config: Of the run, as plain values.
        hydra: Hydra's own config of it; may be empty.
    """
    runtime = hydra.get("runtime") or {}
    choice = (runtime.get("choices") or {}).get("data") or config["data"].get("source")
    chosen = choice_node("data", choice, config_folders(hydra))
    unchanged: Any = OmegaConf.to_container(OmegaConf.create({**config, "data": chosen}), resolve=True)
    as_chosen = dict(leaves(unchanged["data"]))
    words = [quoted_override("data", choice)]
    words += [
        quoted_override(f"data.{key}", value)
        for key, value in leaves(config["data"])
        if key not in as_chosen or as_chosen[key] != value
    ]
    if config["allow_targets"]:
        words.append(quoted_override("allow_targets", f"[{','.join(config['allow_targets'])}]"))
    return [*words, *map(shlex.quote, config_flags(hydra))]


def config_folders(hydra: Mapping[str, Any]) -> list[Path]:
    """The folders of the user's own configs: ``--config-dir``, or a ``hydra.searchpath`` that was typed."""
    sources = (hydra.get("runtime") or {}).get("config_sources") or []
    return [Path(source["path"]) for source in sources if source["provider"].endswith("command-line")]


def config_flags(hydra: Mapping[str, Any]) -> list[str]:
    """The flags that name the configs of a run: ``--config-dir``, ``--config-name``."""
    words = [word for folder in config_folders(hydra) for word in ("--config-dir", path_from_here(folder))]
    name = (hydra.get("job") or {}).get("config_name", "train")
    return words if name == "train" else [*words, "--config-name", name]
