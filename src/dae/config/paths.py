"""Paths of a config: a relative one begins where the user stands, and ``~`` is the home."""

from __future__ import annotations

import copy
import re
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dae.words import user_folder

PATH_KEYS = ("data.root", "data.unlabelled", "classifier.encoder_checkpoint", "dae.warm_start")
# What else is typed with a path behind its =, where a shell leaves ~ alone and Hydra's grammar has none.
TYPED = (*PATH_KEYS, "resume", "hydra.run.dir", "hydra.sweep.dir", "--config-dir")


def expand_home(path: str) -> str:
    """The path with the user's home in the place of a ``~`` that it begins with."""
    return re.sub(r"^~(?=$|[/\\])", Path.home().as_posix(), path)


def expand_typed_home(word: str) -> str:
    """The same for a word of the command line, of a list or a sweep each path of it."""
    key, equals, value = word.partition("=")
    if key.lstrip("+") not in TYPED:
        return word
    return key + equals + "".join(map(expand_home, re.split(r"([\[\](),\"'])", value)))


def anchor_paths(cfg: DictConfig) -> DictConfig:
    """The config with paths that hold in this process, wherever Hydra has moved it; itself if they do so."""
    here = user_folder()
    moved = here != Path.cwd()
    anchored = cfg
    for key in PATH_KEYS:
        try:
            path = OmegaConf.select(cfg, key)
        except OmegaConfBaseException:
            continue  # the check says why
        if isinstance(path, str):
            whole = str(here / expand_home(path)) if moved else expand_home(path)
            if whole != path:
                anchored = copy.deepcopy(cfg) if anchored is cfg else anchored
                OmegaConf.update(anchored, key, whole)
    return anchored
