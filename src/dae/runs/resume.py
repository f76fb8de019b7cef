"""Going on with a run that has begun: by ``resume=<run folder>``, or as a job of a continued sweep."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from dae.errors import ConfigError, Problem, raise_problems
from dae.files import DamagedFileError
from dae.keys import NO_PART_OF_A_RUN, leaves, select
from dae.runs.format import refuse_other_format
from dae.runs.owner import link_problems, owner_of
from dae.runs.records import read_result
from dae.runs.saved_config import read_saved_config, resume_words, saved_problems
from dae.words import counted, path_from_here, train_command

log = logging.getLogger(__name__)

# All that may be said anew: anything else would make the rest of the run another run than its beginning.
EXTENDABLE = (
    "dae.epochs",
    "classifier.epochs",
    "data.root",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.max_time",
    "allow_targets",
)
# What a command admits, and what makes no run another run.
NOT_COMPARED = (*NO_PART_OF_A_RUN, "allow_targets")
# Nothing is left to do in a run that ended so.
ENDED = ("completed", "pruned")


def reopen_run(words: Sequence[str]) -> tuple[DictConfig, list[str]]:
    """The saved config of the run that ``resume=`` names, and the command line that runs it where it lies.

    Args:
        words: What was typed behind ``train.py``, ``resume=...`` among it.

    Raises:
        ConfigError: There is no such run, more is asked of it than to go on, or its config names a class
            that this command does not admit.
        DamagedFileError: Its config is damaged.
    """
    if "-m" in words:  # launch writes --multirun so
        what = "resume goes on with one run; a sweep goes on in its own folder"
        advice = "try -m hydra.sweep.dir=<sweep folder> <its overrides>"
        raise ConfigError([Problem("resume", what, advice)])
    if "--config-dir" in words:  # the run has its whole config
        at = words.index("--config-dir")
        words = [*words[:at], *words[at + 2 :]]
    parsed = [OverridesParser.create().parse_override(word) for word in words if not word.startswith("-")]
    place = next(str(override.value()) for override in reversed(parsed) if override.key_or_group == "resume")
    folder = _newest_unfinished() if place == "auto" else _run_folder(Path(place))
    refuse_other_format(folder)
    config = read_saved_config(folder)
    others = [override for override in parsed if override.key_or_group != "resume"]
    own = [override for override in others if not override.key_or_group.startswith("hydra")]
    # Not what the folder says: whoever has written it would admit his own.
    config["allow_targets"] = _allowed(own)
    raise_problems(
        [
            *(problem for override in own for problem in _refused(override, config, folder)),
            *link_problems(folder),
            *saved_problems(config, folder, config["allow_targets"]),
        ]
    )
    saved = OmegaConf.create(config)
    for override in own:
        OmegaConf.update(saved, override.key_or_group, override.value())
    theirs = [str(override.input_line) for override in others if override not in own]
    options = [word for word in words if word.startswith("-")]
    place = str(folder).replace('"', r"\"")
    return saved, [*options, *theirs, "hydra.output_subdir=null", f'hydra.run.dir="{place}"']


def _run_folder(place: Path) -> Path:
    """The run folder that is meant by itself, one of its stages or a checkpoint."""
    for folder in (place, *list(place.parents)[:2]):
        if os.path.isfile(folder / "config.yaml"):  # noqa: PTH113 - Path.is_file raises errors for some names
            return folder
    there = os.path.isdir(place)  # noqa: PTH112
    state = "holds no config.yaml, so no run has begun in it" if there else "is not a folder"
    runs = sorted(Path("outputs").glob("*/config.yaml"), key=lambda file: file.stat().st_mtime)[-3:]
    newest = "".join(f"\n        {resume_words(file.parent)}" for file in reversed(runs))
    raise ConfigError([Problem("resume", f"{place} {state}", f"the newest runs:{newest}" if runs else "")])


def _newest_unfinished() -> Path:
    runs = [file.parent for file in Path("outputs").glob("*/config.yaml")]
    place = Path("outputs").resolve()
    if not runs:
        raise ConfigError(
            [Problem("resume=auto", f"found no run in {place}", f"start one: {train_command()}")]
        )
    unfinished = [folder for folder in runs if _status(folder) not in ENDED]
    if not unfinished:
        what = f"found {counted(len(runs), 'run')} in {place}, none of them unfinished"
        raise ConfigError([Problem("resume=auto", what, "name one: resume=<run folder>")])
    owners = {folder: owner_of(folder) for folder in unfinished}
    free = [folder for folder, owner in owners.items() if owner is None]
    if not free:
        running = "".join(f"\n      {path_from_here(folder)}: {owner}" for folder, owner in owners.items())
        what = f"all unfinished runs in {place} are going on already:{running}"
        raise ConfigError([Problem("resume=auto", what)])
    return max(free, key=_started)


def _started(folder: Path) -> float:
    """When a run was started for the last time: each start adds to ``run.json``."""
    files = (folder / "config.yaml", folder / "run.json")
    return max(file.stat().st_mtime for file in files if file.is_file())


def _status(folder: Path) -> str | None:
    try:
        return read_result(folder).get("status")
    except DamagedFileError:
        return None  # said in words when the run is opened


def _allowed(overrides: Sequence[Override]) -> list[str]:
    """The packages that the command itself admits."""
    given = [override.value() for override in overrides if override.key_or_group == "allow_targets"]
    packages = given[-1] if given else []
    return [str(package) for package in packages] if isinstance(packages, list) else []


def _refused(override: Override, saved: dict[str, Any], folder: Path) -> Iterator[Problem]:
    """Why a run cannot go on with this override."""
    key, text = override.key_or_group, str(override.input_line)
    if key not in EXTENDABLE or override.is_sweep_override() or override.is_delete():
        what = f"a run that goes on keeps its config; only {', '.join(EXTENDABLE)} may be given anew"
        yield Problem(
            text, what, f"see {path_from_here(folder / 'config.yaml')}, or begin a run without resume"
        )
        return
    if key.endswith(".epochs"):
        planned, asked = select(saved, key), override.value()
        if not isinstance(planned, int):
            return  # the check of the saved config says what is wrong with it
        if isinstance(asked, int) and asked < planned:
            yield Problem(text, f"found {asked}, but the run was begun for {planned}", f"try {key}={planned}")
        scheduler = select(saved, key.replace("epochs", "scheduler._target_"))
        if asked != planned and not str(scheduler).endswith(".constant"):
            what = f"the schedule {scheduler} was laid out for {counted(planned, 'epoch')}"
            yield Problem(text, what, f"leave {key} out, or begin a run without resume")


def finished_objective(cfg: DictConfig, folder: Path, extended: bool) -> float | None:
    """The objective of a run that has ended in this folder already; None if there is something to do.

    Args:
        cfg: What is to be run.
        folder: Where.
        extended: Whether ``reopen_run`` has made ``cfg`` of the saved config.

    Raises:
        ConfigError: What has begun in this folder is another run.
        DamagedFileError: Its config or its result is damaged.
    """
    file = folder / "config.yaml"
    if not file.is_file():
        return None
    refuse_other_format(folder)
    differing = _differences(read_saved_config(folder), OmegaConf.to_container(cfg, resolve=True))
    if differing and not extended:
        lines = "".join(f"\n      {key}: saved {old!r}, now {new!r}" for key, (old, new) in differing.items())
        what = f"a run of another config has begun in this folder:{lines}"
        hint = "the code or conf/ has changed meanwhile: undo that, or sweep into another hydra.sweep.dir"
        raise ConfigError([Problem(path_from_here(folder), what, hint)])
    try:
        result = read_result(folder)
    except DamagedFileError as error:
        log.warning("%s It goes on, and writes that file anew", error)
        result = {}
    if differing or result.get("status") not in ENDED or cfg.stage == "data":
        log.info("Going on in %s", path_from_here(folder))
        return None
    value = result["objective"]["value"]
    log.info("%s is taken as it is: %s", path_from_here(folder), result["status"])
    return cast(float, value)


_ABSENT = "(absent)"


def _differences(saved: Any, now: Any) -> dict[str, tuple[Any, Any]]:
    """Key path -> its saved and its present value, where they differ."""
    old, new = dict(leaves(saved)), dict(leaves(now))
    pairs = {key: (old.get(key, _ABSENT), new.get(key, _ABSENT)) for key in {**old, **new}}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1] and key not in NOT_COMPARED}
