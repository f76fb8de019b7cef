"""Everything that is wrong with a command line that Hydra could not compose.

Hydra stops at its first error. So the overrides are parsed one by one and the group choices are tried first.
Then all values are forced in, and the resulting config is checked against its classes like any other.
"""

from __future__ import annotations

import re
import shlex
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from dae.config.groups import LIST_GROUPS, conf_folder, group_choices, group_names
from dae.errors import ConfigError, Problem
from dae.keys import overlap
from dae.runs.saved_config import KEYS
from dae.words import closest_name, quoted_override, train_command

# Hydra's own errors, and what its code runs into, like a list in the place of a word: logger=[[1]].
COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, ValueError, TypeError)
# A setting whose key and value may stand in several words; between two words is a NUL.
SETTING = re.compile("-*(?P<key>[\\w./@-]+)(?P<between>\0?[=:]\0?|\0)(?P<value>[^\0=-][^\0=]*)(?=\0|$)")


def refuse_sweep(arguments: Sequence[str]) -> None:
    """Refuse a sweep that cannot be composed before it begins, since Hydra would create its folder first.

    Wrong values are left to the jobs, which are refused one by one; a search is left to its sweeper.

    Raises:
        ConfigError: With everything that is wrong.
    """
    with _hydra(arguments) as diagnosis:
        problems = [*diagnosis.choices(), *diagnosis.unreadable(), *diagnosis.launcher()]
        if not problems and not diagnosis.is_search():
            problems = [*diagnosis.intervals()]
            try:
                diagnosis.compose([_each(override)[0] for override in diagnosis.parsed])
            except COMPOSITION_ERRORS:
                problems = problems or list(diagnosis.values())
    if problems:
        raise ConfigError(problems)


def diagnose(arguments: Sequence[str], error: Exception) -> ConfigError:
    """Find the problems of a command line that Hydra has refused.

    Args:
        arguments: What was typed behind ``train.py``.
        error: Hydra's error; reported unchanged if nothing else is found.
    """
    try:
        problems = _all_problems(arguments)
    except COMPOSITION_ERRORS:  # a config of the user's own, which stands in the way of all else
        problems = []
    return ConfigError(problems or [Problem("command", str(error).strip())])


def refuse_flags(arguments: Sequence[str]) -> None:
    """Refuse settings that are written otherwise, and propose how they are written.

    They are flags that Hydra does not have, ``--data digits``, and ``dae.epochs = 3``, ``dae.epochs:3``.

    Raises:
        ConfigError: With the setting that each of them stands for, and all else that is wrong.
    """
    unknown = get_args_parser().parse_known_args(list(arguments))[1]
    flags = {word for word in unknown if re.match("--?[A-Za-z]", word)}
    problems, meant = [], []
    words = ["", *arguments]
    while len(words) > 1:
        before, typed = words.pop(0), words[0]
        is_flag = typed in flags
        found = SETTING.match("\0".join(words[:3]))
        spaced = found and not before.startswith("-") and _is_spaced(found["key"], found["between"])
        if not is_flag and not spaced:
            meant.append(typed)
            continue
        what = "there is no such flag; settings are written key=value"
        advice = f"see {train_command()} --help"
        if found:
            last = found[0].count("\0")
            typed = " ".join(words[: last + 1])
            del words[:last]
            meant.append(f"{found['key'].replace('-', '_')}={found['value']}")
            advice = f"try {shlex.quote(meant[-1])}"
        problems.append(Problem(typed, what if is_flag else "a setting is one word: key=value", advice))
    if not problems:
        return
    # Which config resume= stands for is known only when that run is opened.
    wrong = _all_problems([word for word in meant if not word.startswith("resume=")])
    if wrong:
        problems = [replace(problem, hint="") for problem in problems]
    raise ConfigError([*problems, *wrong])


def _is_spaced(key: str, between: str) -> bool:
    known = key in KEYS or key in group_names() or "." in key or "/" in key
    return between != "=" and (known or "=" in between)


def _all_problems(arguments: Sequence[str]) -> list[Problem]:
    with _hydra(arguments) as diagnosis:
        return [*diagnosis.choices(), *diagnosis.unreadable(), *diagnosis.values()]


@contextmanager
def _hydra(arguments: Sequence[str]) -> Iterator[_Diagnosis]:
    options = get_args_parser().parse_args(list(arguments))
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        yield _Diagnosis(options, arguments)


class _Diagnosis:
    """The overrides of a command, each examined on its own."""

    def __init__(self, options: Namespace, arguments: Sequence[str]) -> None:
        self.arguments = arguments
        self.name = options.config_name or "train"
        self.multirun = options.multirun
        own = (
            f"hydra.searchpath=[file://{Path(options.config_dir).resolve()}]" if options.config_dir else None
        )
        # Overrides that are known to compose, each with one value.
        self.good = [own] if own else []
        self.parsed: list[Override] = []
        self._unreadable: dict[str, HydraException] = {}
        parser = OverridesParser.create()
        for text in options.overrides:
            try:
                self.parsed.append(parser.parse_override(text))
            except HydraException as error:
                self._unreadable[text] = error
                if (
                    "=" in text and text.partition("=")[0] not in group_names()
                ):  # the value may be meant as one text, which may be wrong too
                    (quoted,) = shlex.split(quoted_override(*text.split("=", 1)))
                    with suppress(HydraException):  # the key is what cannot be read
                        self.parsed.append(parser.parse_override(quoted))

    def unreadable(self) -> Iterator[Problem]:
        """Overrides that Hydra cannot parse; quoting is proposed where the key would accept the text."""
        found = list(self.values()) if self._unreadable else []
        for text, error in self._unreadable.items():
            key, equals, value = text.partition("=")
            if not equals:
                yield Problem(text, "expected key=value or group=choice", f"see {train_command()} --help")
                continue
            refused = any(overlap(problem.where, key.lstrip("+")) for problem in found)
            advice = "" if refused else f"if it is one text, try {quoted_override(key, value)}"
            if re.fullmatch(r"\(.*\)", value):
                advice = f"a list is written in brackets: try {quoted_override(key, f'[{value[1:-1]}]')}"
            elif offered := group_choices(key):
                advice = f"expected one of {', '.join(offered)}, or several: [a,b]"
            yield Problem(text, f"Hydra cannot read it: {_first_line(error)}", advice)

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Compose the good overrides and these."""
        return compose(self.name, overrides=[*self.good, *overrides], return_hydra_config=True)

    def is_sweep(self) -> bool:
        """Whether several values may be given; some experiments are sweeps without ``-m``."""
        return self.multirun or self.compose([]).hydra.mode == RunMode.MULTIRUN

    def is_search(self) -> bool:
        """Whether the good overrides choose a sweeper that draws its values."""
        return "sampler" in self.compose([]).hydra.sweeper

    def launcher(self) -> Iterator[Problem]:
        """A launcher whose package is not installed."""
        module = self.compose([]).hydra.launcher["_target_"].rpartition(".")[0]
        package = ".".join(module.split(".")[:2])
        if find_spec(package) is None:
            name = package.rpartition(".")[2]
            extra = "parallel" if "joblib" in name else "cluster"
            what = f"needs the package {name.replace('_', '-')}, which is not installed"
            yield Problem("hydra/launcher", what, f"pip install -e '.[{extra}]'")

    def intervals(self) -> Iterator[Problem]:
        """Intervals, in a sweep that does not draw values from them."""
        for override in self.parsed:
            if override.is_interval_sweep():
                what = "an interval has no list of values to go through"
                yield Problem(
                    override.input_line or "", what, "try hydra/sweeper=optuna, which draws from it"
                )

    def choices(self) -> Iterator[Problem]:
        """Check group choices, deletions and Hydra's own keys; those without a problem join the good ones."""
        # A composition takes 0.15 s, and mostly all are right: try them together first.
        together = [_each(override)[0] for override in self.parsed if _is_choice(override)]
        try:
            self.compose(together)
            self.good += together
        except COMPOSITION_ERRORS:
            together = []
        # hydra.sweeper.n_trials is a key of hydra/sweeper=optuna: groups first.
        for override in sorted(self.parsed, key=lambda override: "." in override.key_or_group):
            text = override.input_line or ""
            if override.is_sweep_override() and not self.is_sweep():
                yield Problem(text, "several values are a sweep", self._several(override))
            elif _is_choice(override) and (override.is_sweep_override() or not together):
                composed = []
                for single in _each(override):
                    try:
                        config = self.compose([single])
                        composed.append(single)
                        if override.is_sweep_override() and _is_own_sweep(override, config):
                            yield Problem(text, f"{single} is a sweep of its own", f"try it alone: {single}")
                    except COMPOSITION_ERRORS as error:
                        yield _bad_choice(override, single, error)
                self.good += composed[:1] if not together else []

    def _several(self, override: Override) -> str:
        """What to type instead of several values without ``-m``."""
        sweep = f"try {train_command()} -m {shlex.join(self.arguments)}"
        group, values = override.key_or_group, str(override.input_line).partition("=")[2]
        if group in LIST_GROUPS and set(values.split(",")) <= set(group_choices(group)):
            together = quoted_override(group, f"[{values}]")
            return f"for all of them in one run, try {together}; for a run each, {sweep}"
        if OmegaConf.is_list(OmegaConf.select(self.compose([]), group)):
            return f"a list is written in brackets: try {quoted_override(group, f'[{values}]')}"
        return sweep

    def values(self) -> Iterator[Problem]:
        """Check values and their keys: they are forced in, and the config is checked like any other."""
        values = [override for override in self.parsed if not _is_choice(override)]
        if not self.is_sweep() or self.is_search():
            values = [override for override in values if not override.is_sweep_override()]
        forced = ["++" + _each(override)[0].lstrip("+") for override in values]
        try:
            config = self.compose(forced)
        except COMPOSITION_ERRORS:
            # At least one cannot be forced in, like a key below a plain value.
            for text in forced:
                try:
                    self.compose([text])
                except COMPOSITION_ERRORS as error:
                    yield Problem(text.lstrip("+"), _first_line(error))
            return
        from dae.config.settings import find_problems

        HydraConfig.instance().set_config(config)  # commands that are proposed name its --config-dir
        try:
            with open_dict(config):
                del config["hydra"]
            yield from find_problems(config)
        finally:
            HydraConfig.instance().cfg = None


def _is_choice(override: Override) -> bool:
    """Whether it chooses from a group (a misspelt one has a slash), deletes, or sets a key of Hydra's own."""
    key = override.key_or_group
    return key in group_names() or "/" in key or override.is_delete() or key.startswith("hydra")


def _is_own_sweep(override: Override, config: DictConfig) -> bool:
    return override.key_or_group == "experiment" and config.hydra.mode == RunMode.MULTIRUN


def _each(override: Override) -> list[str]:
    """The override once for each value of its sweep."""
    text = override.input_line or ""
    if not override.is_sweep_override() or override.is_interval_sweep():
        return [text]
    key = text.partition("=")[0]
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def _bad_choice(override: Override, text: str, error: Exception) -> Problem:
    key, _, value = text.lstrip("+~").partition("=")
    group = key.partition("@")[0]
    offered = group_choices(group)
    if (group.startswith("hydra") and not offered) or override.is_delete():
        return Problem(
            text, _first_line(error), f"see {train_command()} --hydra-help" if "hydra" in group else ""
        )
    if not offered:
        meant = closest_name(group, group_names())
        what = f"there is no group {group!r} (groups: {', '.join(group_names())})"
        choice = closest_name(value, group_choices(meant)) if meant else None
        return Problem(text, what, f"try {quoted_override(str(meant), choice)}" if choice else "")
    wrong = [name for name in value.strip("[]").split(",") if name.strip() not in offered]
    parts = [name for name in group_names() if name.endswith(f"/{group}")]
    if not wrong and parts:
        advice = f"try {' '.join(f'{part}={value}' for part in parts)}"
        return Problem(text, f"this group is chosen for its part: {', '.join(parts)}", advice)
    if not wrong or value in ("null", ""):
        advice = f"try {group}=none" if "none" in offered else ""
        return Problem(text, f"expected one of {', '.join(offered)}", advice)
    meant = closest_name(wrong[0], offered)
    what = f"there is no {group} {wrong[0].strip()!r}, expected one of {', '.join(offered)}"
    return Problem(
        text, what, f"try {quoted_override(group, value.replace(wrong[0], meant))}" if meant else ""
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
