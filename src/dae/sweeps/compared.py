"""Which key a sweep compares, in which order its values were given, and what cannot be compared."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException

from dae.errors import Problem
from dae.files import DamagedFileError, read_yaml
from dae.sweeps.jobs import modified_time
from dae.text import closest_name, train_command

COMPARISON = "comparison.csv"
# The column behind the compared key's.
BASELINE = "baseline"
# The keys of the question that this project asks, in the order in which they are proposed.
QUESTIONS = ("pretraining", "classifier", "classifier.encoder")


def sweep_overrides(hydra: Mapping[str, Any]) -> dict[str, Override]:
    """The overrides of a sweep by their keys; what is typed takes the place of what the config says.

    Args:
        hydra: Hydra's own config.
    """
    params = [f"{key}={value}" for key, value in ((hydra.get("sweeper") or {}).get("params") or {}).items()]
    parsed = OverridesParser.create().parse_overrides([*params, *hydra["overrides"]["task"]])
    return {override.get_key_element(): override for override in parsed}


def asked_comparison(config: Mapping[str, Any]) -> str | None:
    """The key that a sweep is asked to compare; what is typed takes the place of what the config says.

    Args:
        config: Of the sweep, with Hydra's own.
    """
    typed = sweep_overrides(config["hydra"]).get("compare")
    if typed is None:
        return config.get("compare")
    several = typed.is_sweep_override()
    found = str(typed.input_line).partition("=")[2] if several else typed.value()
    return None if found is None else str(found)


def comparison_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Why jobs that are about to begin cannot be compared as they ask.

    Args:
        config: Of the sweep, with Hydra's own.
    """
    key = asked_comparison(config)
    if key is not None:
        overrides = sweep_overrides(config["hydra"]).items()
        swept = [name.lstrip("+") for name, override in overrides if override.is_sweep_override()]
        is_search = "sampler" in config["hydra"]["sweeper"]
        yield from key_problems(f"compare={key}", key, swept, is_search, config["hydra"]["overrides"]["task"])


def single_run_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Why a single run cannot be compared as was typed; what an experiment compares is its sweep's alone.

    Args:
        config: Of the run, with Hydra's own.
    """
    for text in config["hydra"]["overrides"]["task"]:
        key, _, value = text.lstrip("+").partition("=")
        if key == "compare" and config.get("compare") is not None:
            yield from key_problems(text, value, (), False, config["hydra"]["overrides"]["task"])


def key_problems(
    where: str, key: str, swept: Sequence[str], is_search: bool, typed: Sequence[str] = ()
) -> Iterator[Problem]:
    """Why a key cannot be compared, if that is so.

    Args:
        where: What was typed.
        key: That is to be compared.
        swept: The keys that the sweep varies.
        is_search: Whether a search has drawn their values.
        typed: The overrides of the command.
    """
    arms = [name for name in swept if name not in ("seed", "compare")]
    offered = f"one of the swept keys {', '.join(arms)}" if arms else "a key with several values"
    if is_search:
        what = "a search draws its values, so that its trials are no pairs"
        yield Problem(where, what, "sweep over the values themselves, without hydra/sweeper=optuna")
        return
    if not swept:
        what = "there is one job, and nothing to compare it with"
    elif key == "seed":
        what = f"seeds are what a comparison is repeated over; expected {offered}"
    elif key not in arms:
        what = f"{key} has not several values in this sweep; expected {offered}"
    else:
        return
    meant = closest_name(key, arms, cutoff=0.3) or next(iter(arms), None)
    yield Problem(where, what, f"try {where.removesuffix(key)}{meant}" if meant else _example(key, typed))


def _example(key: str, typed: Sequence[str]) -> str:
    """The command with several arms and seeds."""
    arms = "pretraining=none,plain,denoising" if key in ("pretraining", "seed") else f"{key}=<first>,<second>"
    compared = arms.partition("=")[0]
    ours = ("compare", "seed", compared)
    kept = [text for text in typed if text.lstrip("+").partition("=")[0] not in ours]
    return f"try {train_command()} {shlex.join(['-m', *kept, f'compare={compared}', arms, 'seed=0,1,2'])}"


def saved_comparison(sweep_folder: Path) -> str | None:
    """The key that a sweep compares: as it was asked to, else as it has been compared before."""
    asked, _ = _sweep(sweep_folder)
    if asked is not None:
        return asked
    try:
        head = next(csv.reader((sweep_folder / COMPARISON).read_text(encoding="utf-8").splitlines()), [])
    except (OSError, ValueError, csv.Error):
        return None  # it is written anew
    return head[head.index(BASELINE) - 1] if BASELINE in head[1:] else None


def given_values(sweep_folder: Path, key: str) -> tuple[str, ...]:
    """The values of a swept key in the order in which the last command gives them; empty if unknown."""
    return _sweep(sweep_folder)[1].get(key, ())


def in_given_order(sweep_folder: Path, key: str, found: Iterable[str]) -> list[str]:
    """The values of a key: those of the last command in its order, and those that earlier jobs have.

    The earlier ones stand behind the first, so that the first and the last are those of the last command.
    """
    there = sorted({*found})
    first, *given = given_values(sweep_folder, key) or there[:1] or [""]
    earlier = [value for value in there if value not in (first, *given)]
    return [first, *earlier, *given]


def _sweep(folder: Path) -> tuple[str | None, dict[str, tuple[str, ...]]]:
    """What the last command of a sweep compares, and the values of each key that it sweeps over."""
    file = folder / "multirun.yaml"
    return _read_sweep(file, modified_time(file))


@lru_cache(maxsize=4)
def _read_sweep(file: Path, modified: int) -> tuple[str | None, dict[str, tuple[str, ...]]]:
    try:
        config = read_yaml(file)
        hydra = config.get("hydra", {})
        if "task" not in hydra.get("overrides", {}):
            return None, {}
        overrides = sweep_overrides(hydra)
    except (DamagedFileError, HydraException):
        return None, {}  # the page says that it cannot be read
    values = {
        key.lstrip("+"): tuple(dict.fromkeys(override.sweep_string_iterator()))
        for key, override in overrides.items()
        if override.is_discrete_sweep()
        and not isinstance(override.value(), Glob)  # a glob is known to Hydra alone
    }
    return asked_comparison(config), values
