"""Which data, noise and trainer an evaluation is made with: Hydra's words over what the run has had."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from dae.config.auto import AUTO
from dae.config.diagnosis import COMPOSITION_ERRORS, diagnose
from dae.config.groups import conf_folder
from dae.config.paths import anchor_paths, expand_typed_home
from dae.config.settings import check_config
from dae.data.preprocessing import Preprocessing
from dae.data.sources import FOLDERS
from dae.errors import ConfigError, Problem, raise_problems
from dae.words import closest_name, quoted_override

# The parts of a config that say something about an evaluation, and the group that each is chosen from.
PARTS = {"data": "data", "dae.noise": "dae/noise", "trainer": "trainer"}


def chosen_config(
    words: Sequence[str],
    begun: DictConfig | None,
    preprocessing: Preprocessing,
    split: str,
    config_dir: Path | None = None,
) -> DictConfig:
    """A checked config, of which only ``PARTS`` are meant.

    A part that is chosen anew (``data=digits``) is composed with ``conf/``, with all words about it; other
    words change what the run has begun with. The images are made as those that the checkpoint has seen.

    Args:
        words: As they were typed.
        begun: The run's own config; None if there is none.
        preprocessing: Of the checkpoint.
        split: What is measured on, whose limit of batches counts.
        config_dir: A folder with the user's own configs.

    Raises:
        ConfigError: With everything that is wrong with the words, or with what they come to.
    """
    if config_dir is not None and not config_dir.is_dir():
        raise ConfigError([Problem(f"--config-dir {config_dir}", "is no folder, expected one of configs")])
    flags = [] if config_dir is None else ["--config-dir", str(config_dir)]
    words = [expand_typed_home(word) for word in words]
    try:
        overrides = [OverridesParser.create().parse_override(word) for word in words]
    except HydraException as error:
        raise diagnose([*flags, *words], error) from error
    raise_problems(problem for override in overrides for problem in _refused(override))
    if begun is None and PARTS["data"] not in map(_key, words):
        what = "no run folder lies around this checkpoint, so that its data are not known"
        raise ConfigError([Problem("RUN", what, "say which: data=digits, say")])
    chosen = [part for part, group in PARTS.items() if begun is None or group in map(_key, words)]
    anew = [word for word in words if any(says([word], part) for part in chosen)]
    cfg = OmegaConf.create({}) if begun is None else begun.copy()
    if chosen:
        fresh = _composed(anew, flags)
        if begun is None:
            cfg = fresh
        for part in chosen:
            node = OmegaConf.to_container(OmegaConf.select(fresh, part), resolve=True)
            OmegaConf.update(cfg, part, node, merge=False)
    for override in overrides:
        if override.input_line not in anew:
            OmegaConf.update(cfg, override.key_or_group, override.value(), force_add=True)
    for key, value in _settled(cfg, preprocessing, split, {*map(_key, words)}).items():
        OmegaConf.update(cfg, key, value, force_add=True)
    check_config(cfg, parts=(*PARTS, "dae.reference_noise"))
    return anchor_paths(cfg)


def says(words: Sequence[str], part: str) -> bool:
    """Whether one of the words is about a part: chooses it, or sets a value of it."""
    return any(_key(word) == PARTS[part] or f"{_key(word)}.".startswith(f"{part}.") for word in words)


def _key(word: str) -> str:
    return word.lstrip("+").partition("=")[0]


def _refused(override: Override) -> Iterator[Problem]:
    text, key = str(override.input_line), override.key_or_group
    if override.is_sweep_override():
        yield Problem(text, "several values are several evaluations", "give one of them")
    elif override.is_delete() or override.package or not any(says([f"{key}="], part) for part in PARTS):
        what = f"says nothing of an evaluation; expected words for {', '.join(PARTS.values())}"
        meant = closest_name(key, PARTS.values())
        advice = f"try {quoted_override(meant, text.partition('=')[2])}" if meant else ""
        yield Problem(text, what, "" if override.is_delete() or override.package else advice)


def _composed(words: Sequence[str], flags: Sequence[str]) -> DictConfig:
    """``conf/`` with these words."""
    own = [f"hydra.searchpath=[file://{Path(folder).resolve()}]" for folder in flags[1:]]
    try:
        with initialize_config_dir(str(conf_folder()), version_base="1.3"):
            return compose("train", overrides=[*own, *words])
    except COMPOSITION_ERRORS as error:
        raise diagnose([*flags, *words], error) from error


def _settled(cfg: DictConfig, preprocessing: Preprocessing, split: str, typed: set[str]) -> dict[str, Any]:
    """The keys that the checkpoint decides, or what one process does with one pass over the images.

    Raises:
        ConfigError: Images of another kind were asked for.
    """
    data: dict[str, Any] = {"image_size": preprocessing.image_size, "channels": preprocessing.channels}
    asked = {f"data.{key}": (cfg.data.get(key), value) for key, value in data.items()}
    raise_problems(
        Problem(key, f"found {found}, but the network takes {value}", "leave it out: images are made to fit")
        for key, (found, value) in asked.items()
        if key in typed and found not in (value, AUTO)
    )
    if cfg.data.get("source") in FOLDERS:
        own = {"fit": preprocessing.fit, "background": preprocessing.background}
        data |= {key: value for key, value in own.items() if f"data.{key}" not in typed}
    limit = cfg.trainer.get(f"limit_{split}_batches", 1.0)
    alone = {"devices": 1, "strategy": "auto", "limit_test_batches": limit, "profiler": None}
    parts = {"data": data, "trainer": alone}
    return {f"{part}.{key}": value for part, values in parts.items() for key, value in values.items()}
