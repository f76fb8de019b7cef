"""What a printed command has to carry so that it works from where the user stands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from dae.config.groups import choice_node
from dae.keys import leaves, select
from dae.runs.saved_config import needed_targets
from dae.words import path_from_here, quoted_override

# In a command that is printed: to be put in by the user.
LABELLED_FOLDER = "LABELLED_FOLDER"


def same_data_words(config: Mapping[str, Any], hydra: Mapping[str, Any], labelled: bool = True) -> list[str]:
    """The end of a command on the same images: ``data=digits data.limit=200``, quoted for a shell.

    Without labels they are of no use to stage 2: then the command names a folder that the user has to put in.

    Args:
        config: Of the run, as plain values.
        hydra: Hydra's own config of it; may be empty.
        labelled: Whether the images have labels.
    """
    runtime = hydra.get("runtime") or {}
    choice = str((runtime.get("choices") or {}).get("data") or config["data"].get("source"))
    chosen = choice_node("data", choice, config_folders(hydra)) if re.fullmatch(r"[\w-]+", choice) else {}
    as_chosen = {key: _followed(value, {**config, "data": chosen}) for key, value in leaves(chosen)}
    given = {
        key: value for key, value in leaves(config["data"]) if key not in as_chosen or as_chosen[key] != value
    }
    if not labelled:
        # Size and channels will be those of the encoder that the command names.
        kept = ("fit", "background", "bad_images")
        given = {"root": LABELLED_FOLDER} | {key: given[key] for key in given if key in kept}
    words = [quoted_override("data", choice)]
    words += [quoted_override(f"data.{key}", value) for key, value in given.items()]
    networks = {name: (config.get("dae") or {}).get(name) for name in ("encoder", "decoder")}
    if allowed := needed_targets({"allow_targets": config.get("allow_targets"), **networks}):
        words.append(quoted_override("allow_targets", f"[{','.join(allowed)}]"))
    return [*words, *map(shlex.quote, config_flags(hydra))]


def _followed(value: Any, config: dict[str, Any]) -> Any:
    """What a value of ``conf/`` comes to that only names another key; a config itself is not resolved."""
    link = re.fullmatch(r"\$\{([\w.]+)\}", str(value))
    return select(config, link.group(1)) if link else value


def same_data_as_composed(config: Mapping[str, Any]) -> list[str]:
    """``same_data_words`` of the run that Hydra has composed in this process."""
    hydra: Any = HydraConfig.get() if HydraConfig.initialized() else {}
    return same_data_words(config, hydra)


def config_folders(hydra: Mapping[str, Any]) -> list[Path]:
    """The folders of the user's own configs: ``--config-dir``, or a ``hydra.searchpath`` that was typed."""
    sources = (hydra.get("runtime") or {}).get("config_sources") or []
    return [Path(source["path"]) for source in sources if source["provider"].endswith("command-line")]


def config_flags(hydra: Mapping[str, Any]) -> list[str]:
    """The flags that name the configs of a run: ``--config-dir``, ``--config-name``."""
    words = [word for folder in config_folders(hydra) for word in ("--config-dir", path_from_here(folder))]
    name = (hydra.get("job") or {}).get("config_name", "train")
    return words if name == "train" else [*words, "--config-name", name]
