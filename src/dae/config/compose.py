"""What ``conf/`` offers, and Hydra's errors in the words of a user who has mistyped something.

A wrong key that Hydra refuses is worded by ``explain``; one that it adds to the config, as ``+key=value``
tells it to, is found by ``settings.schema_problems``. Both take the words of ``unknown_key``.
"""

from __future__ import annotations

import pickle
import re
import shlex
import string
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dae.errors import ConfigError, Problem
from dae.schema import leaves, select
from dae.text import closest_name, first_line, quoted_override, train_command

# Hydra's own errors, and what its code runs into, like a list in the place of a word: logger=[[1]].
COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, ValueError, TypeError, RuntimeError)

_EPOCHS = "the epochs of a stage are its own: dae.epochs, classifier.epochs"
_OURS = "this project sets it itself"
# Arguments of the Trainer that cannot be given, and what to use instead.
RESERVED = {
    **dict.fromkeys(("max_epochs", "min_epochs", "max_steps", "min_steps"), _EPOCHS),
    "callbacks": "callbacks are a group: 'callbacks=[pictures,early_stopping]'",
    "logger": "loggers are a group: 'logger=[tensorboard,csv]'",
    **dict.fromkeys(("folder", "default_root_dir"), "the folder is Hydra's: hydra.run.dir"),
    "max_time": "a limit is the system's: timeout 2h python train.py ..., and resume= goes on",
    "num_nodes": "a run has one machine; several share a sweep: -m hydra/launcher=submitit_slurm",
    **dict.fromkeys(("fast_dev_run", "num_sanity_val_steps"), "a quick try is debug=smoke"),
    "overfit_batches": "learning one batch by heart is debug=overfit",
    **dict.fromkeys(("plugins", "enable_checkpointing", "barebones", "use_distributed_sampler"), _OURS),
    **dict.fromkeys(("enable_progress_bar", "enable_model_summary"), _OURS),
    "reload_dataloaders_every_n_epochs": _OURS,
}


def conf_folder() -> Path:
    """``conf/`` inside the installed package, or two levels above it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parents[1] / "conf"


def own_folder() -> Path | None:
    """The folder of the user's own configs that this command names: ``--config-dir``."""
    words = [part for word in sys.argv[1:] for part in word.split("=", 1 if word[:1] == "-" else 0)]
    return next((Path(value) for flag, value in pairwise(words) if flag in ("--config-dir", "-cd")), None)


def group_choices(group: str) -> list[str]:
    """The names that ``group=<name>`` accepts, the user's own too; empty where there is no such group."""
    folders = filter(None, (own_folder(), conf_folder()))
    return sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")})


def group_names() -> list[str]:
    """The names of all groups, as they are written on the command line."""
    names = {
        file.parent.relative_to(root).as_posix()
        for root in filter(None, (own_folder(), conf_folder()))
        for file in root.rglob("*.yaml")
    }
    return sorted(name for name in names if not name.startswith((".", "hydra", "local")))


def help_page() -> str:
    """The text of ``conf/hydra/help/page.yaml``, filled with the groups.

    Hydra makes the same page, but on the way it copies its whole configuration once for each group: 2 s.
    """
    page = yaml.safe_load((conf_folder() / "hydra" / "help" / "page.yaml").read_text(encoding="utf-8"))
    groups = "".join(f"{group}: {', '.join(group_choices(group))}\n" for group in group_names())
    text = string.Template(page["template"]).substitute(APP_CONFIG_GROUPS=groups)
    return text.replace("python train.py", train_command())


@contextmanager
def files_read_once() -> Iterator[None]:
    """Have Hydra parse each file of a config once: it composes for the command and twice for each job."""
    read, kept = ConfigRepository.load_config, {}

    def load(self: ConfigRepository, config_path: str) -> Any:
        key = (tuple(source.full_path() for source in self.get_sources()), config_path)
        if key not in kept:
            kept[key] = pickle.dumps(read(self, config_path))
        return pickle.loads(kept[key])

    with patch.object(ConfigRepository, "load_config", load):
        yield


def composed(words: Sequence[str], config_dir: Path | None = None, **more: Any) -> DictConfig:
    """The config of a command line.

    Args:
        words: Its overrides.
        config_dir: A folder with the user's own configs.
        **more: Of Hydra's ``compose``.
    """
    own = [] if config_dir is None else [quoted_search_path(config_dir)]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return compose("train", overrides=[*own, *words], **more)


def quoted_search_path(folder: Path) -> str:
    """The override that has Hydra look for configs in a folder, whatever its name is."""
    path = str(folder.resolve()).replace("\\", "\\\\").replace('"', '\\"')
    return f'hydra.searchpath=["file://{path}"]'


def refuse_words(words: Sequence[str]) -> list[str]:
    """The command line with its flags in front, as Hydra takes them.

    Raises:
        ConfigError: It has a flag that Hydra does not have.
    """
    overrides = _overrides(words)
    if flags := [word for word in overrides if word[:1] == "-"]:
        what = "there is no such flag; settings are written key=value"
        raise ConfigError([Problem(flag, what, f"see {train_command()} --help") for flag in flags])
    return [*(word for word in words if word not in overrides), *overrides]


def _overrides(words: Sequence[str]) -> list[str]:
    """The words of a command line that are neither Hydra's flags nor their values."""
    options, unknown = get_args_parser().parse_known_intermixed_args(list(words))
    return [*options.overrides, *unknown]


def refuse_sweep(words: Sequence[str]) -> None:
    """Compose each choice of a sweep once before it begins: Hydra would create its folder first.

    Of a key the first value is tried; wrong ones are left to the jobs, which are refused one by one. A search
    is left to its sweeper.

    Raises:
        ConfigError: A choice that is not there, or an experiment that is a sweep of its own, among others.
    """
    texts = [word for word in _overrides(words) if "=" in word]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(texts)
    swept = [override for override in parsed if override.is_sweep_override()]
    if not swept:
        return
    fixed = [str(override.input_line) for override in parsed if not override.is_sweep_override()]
    if "sampler" in composed(fixed, own_folder(), return_hydra_config=True).hydra.sweeper:
        return
    for override in swept:
        key, text = override.get_key_element(), str(override.input_line)
        if override.is_interval_sweep():
            hint = "try -m hydra/sweeper=optuna, which draws from it"
            raise _refused(text, "an interval has no list of values to go through", hint)
        values = list(override.sweep_string_iterator())
        for value in values if key in group_names() else values[:1]:  # of a key, whether it is there
            chosen = composed([*fixed, f"{key}={value}"], own_folder(), return_hydra_config=True)
            if key == "experiment" and chosen.hydra.mode == RunMode.MULTIRUN:
                raise _refused(text, f"{value} is a sweep of its own", f"try it alone: experiment={value}")


def explain(error: Exception, words: Sequence[str]) -> ConfigError:
    """Hydra's error about a command line, with the nearest word that is right.

    Args:
        error: Of Hydra, the first of them.
        words: What was typed behind ``train.py``.
    """
    text, lines = str(error), first_line(error)
    if isinstance(error, MissingConfigException) or "Could not load" in text:
        missing = re.search(r"Could not (?:find|load) '([^']+)'", text)
        group, _, name = (missing[1] if missing else "").rpartition("/")
        offered = group_choices(group)
        meant = closest_name(name, offered)
        what = f"there is no {group} {name!r}, expected one of {', '.join(offered)}"
        return _refused(f"{group}={name}", what, f"try {quoted_override(group, meant)}" if meant else "")
    if isinstance(error, OverrideParseException):
        key, equals, value = str(error.override).partition("=")
        hint = f"if it is one text, try {quoted_override(key, value)}" if equals else "see --help"
        what = f"Hydra cannot read it: {lines}" if equals else "expected key=value or group=choice"
        return _refused(str(error.override), what, hint)
    if found := re.search(r"Could not override '([^']+)'", text):
        key = found[1].lstrip("+~")
        typed = next((word for word in words if word.lstrip("+~").startswith(key)), key)
        try:
            others = [word for word in _overrides(words) if "=" in word and word != typed]
            config = composed(others, own_folder())
        except COMPOSITION_ERRORS:  # another word is wrong, too
            config = composed([], own_folder())
        plain = cast(dict[str, Any], OmegaConf.to_container(config))
        return ConfigError([unknown_key(plain, key, typed.partition("=")[2])])
    if "Ambiguous value" in text:
        typed = next((word for word in words if word in text), "")
        key, _, value = typed.partition("=")
        hint = f"try {train_command()} -m {shlex.join(words)}; a list is {quoted_override(key, f'[{value}]')}"
        return _refused(typed, "several values are a sweep", hint)
    if "Unknown plugin class" in text:
        hint = "ray, submitit: pip install -e '.[cluster]'"
        return _refused("hydra/launcher", "its package is not installed", hint)
    return _refused("command", lines, f"see {train_command()} --help")


def unknown_key(config: dict[str, Any], path: str, value: Any) -> Problem:
    """What is said of a key or a group that is not there, with the nearest one that is.

    Args:
        config: The config, as plain values.
        path: Full path of the key, as it was typed.
        value: Its value.
    """
    parent, _, key = path.replace("/", ".").rpartition(".")
    node = select(config, parent) if parent else config
    beside = sorted({*map(str, node)} - {key}) if isinstance(node, dict) else []
    if parent == "trainer" and key in RESERVED:
        return Problem(path, RESERVED[key])
    what = f"there is no key {key!r} in {parent or 'the config'}"
    what += f" (keys: {', '.join(beside)})" if parent and beside else ""
    group = parent.replace(".", "/")
    for choice in group_choices(group) if parent and beside else ():
        offered = select(OmegaConf.to_container(composed([f"{group}={choice}"], own_folder())), parent) or {}
        if key in offered and offered.get("_target_") != cast(Any, node).get("_target_"):
            hint = f"{quoted_override(group, choice)} {_written(path, value)}"
            return Problem(path, f"{what}; {group}={choice} has it", f"try {hint}")
    # noise=gaussian, dae/nois=gaussian: a group that has this choice.
    groups = [name for name in group_names() if name.rpartition("/")[2] == key]
    if near := closest_name(path.replace(".", "/"), group_names(), 0.8):
        groups = [*groups, near]
    choices = [quoted_override(name, value) for name in groups if value in group_choices(name)]
    # noise.p=0.2, lr=0.1: keys that end so, else those of the same name.
    ending = f".{path.replace('/', '.')}"
    paths = [place for place in _paths(config) if place.rpartition(".")[2] == key and f".{place}" != ending]
    paths = [place for place in paths if f".{place}".endswith(ending)] or paths
    if meant := closest_name(key, beside, 0.65):  # dae.nois.p=0.2
        paths.insert(0, f"{parent}.{meant}" if parent else meant)
    told = choices or [_written(place, value) for place in dict.fromkeys(paths)][:3]
    return Problem(path, what, f"try {' or '.join(dict.fromkeys(told))}" if told else "")


def _written(place: str, value: Any) -> str:
    if isinstance(value, str):  # as it was typed
        return shlex.quote(f"{place}={value}")
    return " ".join(quoted_override(*leaf) for leaf in leaves(value, place))


def _paths(node: Any, path: str = "") -> list[str]:
    """The full path of each key, inner nodes too."""
    members = node.items() if isinstance(node, dict) else ()
    below = [
        place for key, value in members for place in _paths(value, f"{path}.{key}" if path else str(key))
    ]
    return [path, *below] if path else below


def _refused(where: str, what: str, hint: str) -> ConfigError:
    return ConfigError([Problem(where, what, hint)])
