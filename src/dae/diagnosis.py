"""Everything that is wrong with a command line that Hydra could not compose.

Hydra stops at its first error. So the overrides are parsed one by one, group choices are tried first, then
all values are forced in, and the config that results is held against its classes like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from dae.errors import ConfigError, Problem, assign, nearest
from dae.groups import choices, conf_folder, groups


def refuse_sweep(arguments: Sequence[str]) -> None:
    """Find a bad choice before the sweep begins: Hydra would make its folder first.

    Raises:
        ConfigError: With all bad choices.
    """
    problems = _problems(arguments, values=False)
    if problems:
        raise ConfigError(problems)


def diagnose(arguments: Sequence[str], error: Exception) -> ConfigError:
    """The problems of a command line.

    Args:
        arguments: What was typed behind ``train.py``.
        error: What Hydra said; told as it is if nothing else is found.
    """
    return ConfigError(_problems(arguments, values=True) or [Problem("command", str(error).strip())])


def _problems(arguments: Sequence[str], values: bool) -> list[Problem]:
    options = get_args_parser().parse_args(list(arguments))
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return list(_Diagnosis(options.overrides, sweep=options.multirun).problems(values))


class _Diagnosis:
    def __init__(self, overrides: Sequence[str], sweep: bool) -> None:
        self.overrides = overrides
        self.sweep = sweep

    def problems(self, with_values: bool) -> Iterator[Problem]:
        """First what cannot be read, then the groups, then, if wished for, the values."""
        parsed: list[Override] = []
        for text in self.overrides:
            try:
                parsed.append(OverridesParser.create().parse_override(text))
            except HydraException as error:
                yield _unreadable(text, error)
        good: list[str] = []
        values: list[Override] = []
        for override in parsed:
            if override.is_sweep_override() and not self.sweep:
                text = override.input_line or ""
                yield Problem(text, "several values are a sweep", f"try python train.py -m {text}")
            elif _group(override) or override.is_delete() or override.key_or_group.startswith("hydra"):
                good_ones, found = self._choices(override, good)
                good += good_ones[:1]
                yield from found
            else:
                values.append(override)
        if with_values:
            yield from self._values(values, good)

    def _choices(self, override: Override, good: list[str]) -> tuple[list[str], list[Problem]]:
        """The choices of an override that compose, and what is wrong with the others."""
        composed, problems = [], []
        for text in _each(override):
            try:
                compose("train", overrides=[*good, text], return_hydra_config=True)
                composed.append(text)
            except (HydraException, OmegaConfBaseException, ValueError) as error:
                problems.append(_bad_choice(override, text, error))
        return composed, problems

    def _values(self, overrides: list[Override], good: list[str]) -> Iterator[Problem]:
        forced = []
        for override in overrides:
            text = _each(override)[0]
            key, _, value = text.lstrip("+").partition("=")
            if key in groups() or key.partition("@")[0] in groups():
                continue
            forced.append(f"++{key}={value}")
        try:
            config = compose("train", overrides=[*good, *forced])
        except (HydraException, OmegaConfBaseException, ValueError):
            # One of them cannot even be forced in, like a key below a plain value.
            for text in forced:
                try:
                    compose("train", overrides=[*good, text])
                except (HydraException, OmegaConfBaseException, ValueError) as error:
                    yield Problem(text.lstrip("+"), _first_line(error))
            return
        from dae.settings import find_problems

        yield from find_problems(config)


def _group(override: Override) -> str | None:
    """The group of ours that an override chooses from, misspelt ones (with a slash) included."""
    key = override.key_or_group
    if key in groups():
        return key
    if "/" in key:
        return key
    # ``dat=mnist``: a top-level name that is not a key but nearly a group is left to the check of values.
    return None


def _each(override: Override) -> list[str]:
    """The override once for each value of its sweep."""
    text = override.input_line or ""
    if not override.is_sweep_override():
        return [text]
    key = text.partition("=")[0]
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def _bad_choice(override: Override, text: str, error: Exception) -> Problem:
    key, _, value = text.lstrip("+~").partition("=")
    group = key.partition("@")[0]
    offered = choices(group)
    if group.startswith("hydra") or override.is_delete():
        return Problem(
            text, _first_line(error), "see python train.py --hydra-help" if "hydra" in group else ""
        )
    if not offered:
        meant = nearest(group, groups())
        what = f"there is no group {group!r} (groups: {', '.join(groups())})"
        return Problem(text, what, f"try {assign(meant, value)}" if meant else "")
    wrong = [name for name in value.strip("[]").split(",") if name.strip() not in offered]
    if not wrong or value in ("null", ""):
        advice = f"try {group}=none" if "none" in offered else f"try {group}={offered[0]}"
        return Problem(text, f"expected one of {', '.join(offered)}", advice)
    meant = nearest(wrong[0], offered)
    what = f"there is no {group} {wrong[0].strip()!r}, expected one of {', '.join(offered)}"
    return Problem(text, what, f"try {assign(group, value.replace(wrong[0], meant))}" if meant else "")


def _unreadable(text: str, error: Exception) -> Problem:
    if "=" not in text:
        return Problem(text, "expected key=value or group=choice", "see python train.py --help")
    key, _, value = text.partition("=")
    return Problem(
        text, f"Hydra cannot read it: {_first_line(error)}", f"if it is one text, try {assign(key, value)}"
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
