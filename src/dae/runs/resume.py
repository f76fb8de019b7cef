"""Going on with a run that has begun: by ``resume=<run folder>``, or as a job of a continued sweep.

The run folder's ``config.yaml`` is what counts. It may be somebody else's: its values are plain, and only
classes of ours, of ``torch.optim``, of Lightning and of the packages that this command allows are built.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from dae.errors import ConfigError, Problem, raise_problems
from dae.files import DamagedFileError, read_yaml, write_text_atomically
from dae.runs.folder import owner_of
from dae.runs.records import (
    ENDED,
    FILE,
    OUTPUT_SUBDIR,
    PATH_KEYS,
    read_hydra,
    read_or_empty,
    read_result,
    read_run,
)
from dae.schema import NO_PART_OF_A_RUN, is_admitted, leaves, nodes, select
from dae.text import path_from_here, pluralize, quoted_override, train_command

log = logging.getLogger(__name__)

# All that may be said anew: anything else would make the rest of the run another run than its beginning.
EXTENDABLE = (
    *("dae.epochs", "classifier.epochs", "data.root", "classifier.encoder_checkpoint", "threads"),
    *("trainer.accelerator", "trainer.devices", "allow_targets"),
)
# What a command admits, where things are, how many compute: no run becomes another run by it.
NOT_COMPARED = (*NO_PART_OF_A_RUN, *PATH_KEYS, "allow_targets", "threads")
# Packages whose classes a saved config may name without being asked.
ADMITTED = ("dae", "torch.optim", "pytorch_lightning")


def write_saved_config(folder: Path, cfg: DictConfig) -> None:
    """Write the resolved config, whole.

    Raises:
        OSError: The disk is full or write-protected; what was there before is still there.
    """
    write_text_atomically(folder / FILE, OmegaConf.to_yaml(cfg, resolve=True))


def read_saved_config(
    folder: Path, allow_targets: Sequence[str] = (), leave_out: Sequence[str] = ()
) -> dict[str, Any]:
    """The config that a run has begun with, as plain values; what it names may be built.

    Args:
        folder: The run's.
        allow_targets: Packages besides ours whose classes it may name.
        leave_out: Its nodes that are not asked for, such as ``callbacks``.

    Raises:
        DamagedFileError: It is not there, or no YAML.
        ConfigError: It holds an interpolation, or names a class that is not admitted.
    """
    config = read_yaml(folder / FILE)
    if not isinstance(config, dict) or not {"stage", "data", "dae", "classifier"} <= config.keys():
        raise DamagedFileError(folder / FILE, "it is not there, or not the whole config of a run")
    config |= {"allow_targets": list(allow_targets), **{name: {} for name in leave_out}}
    raise_problems(_foreign(config, folder, allow_targets))
    return _with_found_paths(config, folder)


def _foreign(config: dict[str, Any], folder: Path, allow_targets: Sequence[str]) -> Iterator[Problem]:
    packages, file = (*ADMITTED, *allow_targets), path_from_here(folder / FILE)
    if "${" in (text := str(config)):
        yield Problem(file, f"holds an interpolation, expected plain values: {text[text.index('${') :][:40]}")
    for path, node in nodes(config):
        if not is_admitted(str(node["_target_"]), packages):
            package = str(node["_target_"]).partition(".")[0]
            allowed = quoted_override("allow_targets", f"[{','.join([*allow_targets, package])}]")
            what = f"{file} asks to build {node['_target_']}; only classes of {', '.join(packages)} are built"
            yield Problem(
                path, what, f"if you trust that folder: {allowed}, for dae --allow-targets {package}"
            )


def _with_found_paths(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Relative paths that are not here begin where the run was launched."""
    runtime = read_or_empty(read_hydra, folder / OUTPUT_SUBDIR / "hydra.yaml").get("runtime") or {}
    for key in PATH_KEYS:
        path, (stage, name) = select(config, key), key.split(".")
        if isinstance(path, str) and not Path(path).exists():
            launched = Path(runtime.get("cwd", ".")) / path
            config[stage][name] = str(launched) if launched.exists() else path
    return config


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
    parsed = OverridesParser.create().parse_overrides([word for word in words if not word.startswith("-")])
    given = {override.key_or_group: override for override in parsed}
    place = str(given.pop("resume").value())
    folder = _newest_unfinished() if place == "auto" else run_folder(Path(place))
    own = [
        override
        for override in given.values()
        if not override.key_or_group.startswith("hydra") or override.key_or_group == "hydra.run.dir"
    ]
    allowed = given["allow_targets"].value() if "allow_targets" in given else []
    saved = read_saved_config(folder, list(map(str, allowed)) if isinstance(allowed, list) else [])
    raise_problems(problem for override in own for problem in _refused(override, saved, folder))
    read_run(folder)  # refuses a folder of another format
    cfg = OmegaConf.create(saved)
    for override in own:
        OmegaConf.update(cfg, override.key_or_group, override.value())
    theirs = [str(override.input_line) for override in given.values() if override not in own]
    options = [word for word in words if word.startswith("-")]
    quoted = str(folder).replace('"', r"\"")
    return cfg, [*options, *theirs, "hydra.output_subdir=null", f'hydra.run.dir="{quoted}"']


def run_folder(place: Path) -> Path:
    """The run folder that is meant by itself, one of its stages or a checkpoint.

    Raises:
        ConfigError: No run has begun there.
    """
    for folder in (place, *list(place.parents)[:2]):
        if (folder / FILE).is_file():
            return folder
    state = "holds no config.yaml, so no run has begun in it" if place.is_dir() else "is not a folder"
    runs = sorted(Path("outputs").glob(f"*/{FILE}"), key=lambda file: file.stat().st_mtime)[-3:]
    newest = "".join(f"\n        {quoted_override('resume', file.parent)}" for file in reversed(runs))
    raise ConfigError([Problem("resume", f"{place} {state}", f"the newest runs:{newest}" if runs else "")])


def _newest_unfinished() -> Path:
    place = Path("outputs").resolve()
    runs = [file.parent for file in Path("outputs").glob(f"*/{FILE}")]
    unfinished = [run for run in runs if read_or_empty(read_result, run).get("status") not in ENDED]
    free = [run for run in unfinished if owner_of(run) is None]
    if not free:
        what = f"found {pluralize(len(runs), 'run')} in {place}, {len(unfinished)} of them unfinished"
        going_on = f", {len(unfinished)} going on now" if unfinished else ""
        hint = "one that has ended goes on with more epochs: resume=<run folder> dae.epochs=<number>"
        raise ConfigError([Problem("resume=auto", what + going_on, hint)])
    return max(free, key=lambda run: (run / FILE).stat().st_mtime)


def _refused(override: Override, saved: Mapping[str, Any], folder: Path) -> Iterator[Problem]:
    """Why a run cannot go on with this override."""
    key, text = override.key_or_group, str(override.input_line)
    if key not in EXTENDABLE or override.is_sweep_override() or override.is_delete():
        what = f"a run that goes on keeps its config; only {', '.join(EXTENDABLE)} may be given anew"
        yield Problem(text, what, f"see {path_from_here(folder / FILE)}, or begin a run without resume")
    elif key.endswith(".epochs"):
        planned, asked = select(saved, key), override.value()
        if isinstance(asked, int) and asked < planned:
            yield Problem(text, f"found {asked}, but the run was begun for {planned}", f"try {key}={planned}")
        scheduler = select(saved, key.replace("epochs", "scheduler._target_"))
        if asked != planned and not str(scheduler).endswith(".constant"):
            what = f"the schedule {scheduler} was laid out for {pluralize(planned, 'epoch')}"
            yield Problem(text, what, f"leave {key} out, or begin a run without resume")


def refuse_other_run(cfg: DictConfig, folder: Path) -> None:
    """Make sure that what has begun in a folder, if anything has, is this very run.

    Raises:
        ConfigError: It is another run.
    """
    if not (folder / FILE).is_file():
        return
    old, new = dict(leaves(read_yaml(folder / FILE))), dict(leaves(OmegaConf.to_container(cfg, resolve=True)))
    keys = [key for key in {**old, **new} if key.split(".")[0] != "hydra" and key not in NOT_COMPARED]
    differing = [
        key for key in keys if new.get(key) != "auto" and old.get(key, "(absent)") != new.get(key, "(absent)")
    ]
    if differing:
        pairs = [f"{key}: saved {old.get(key)!r}, now {new.get(key)!r}" for key in differing]
        what = "a run of another config has begun in this folder:" + "".join(f"\n      {p}" for p in pairs)
        raise ConfigError([Problem(path_from_here(folder), what, "choose another folder")])


def finished_objective(cfg: DictConfig, folder: Path) -> float | None:
    """The objective of a run that has ended in this folder already; None if there is something to do."""
    result = read_or_empty(read_result, folder)
    if not (folder / FILE).is_file():
        return None
    saved = read_yaml(folder / FILE)
    longer = any(select(saved, f"{stage}.epochs") != cfg[stage].epochs for stage in ("dae", "classifier"))
    if longer or result.get("status") not in ENDED or cfg.stage == "data":
        log.info("Going on in %s", path_from_here(folder))
        return None
    log.info("%s is taken as it is: %s", path_from_here(folder), result["status"])
    return cast(float, result["objective"]["value"])


def resume_command(folder: Path) -> str:
    """The command that goes on with a run."""
    try:
        config = read_yaml(folder / FILE)
    except DamagedFileError:
        config = {}  # resuming says what is wrong with the file
    words = [quoted_override("resume", path_from_here(folder)), *admission(config)]
    return f"{train_command()} {' '.join(words)}"


def admission(config: dict[str, Any]) -> list[str]:
    """The override that admits the packages of others which a config names; none where there are none."""
    named = [str(node["_target_"]) for _, node in nodes(config)]
    foreign = [name.partition(".")[0] for name in named if not is_admitted(name, ADMITTED)]
    packages = dict.fromkeys([*foreign, *(config.get("allow_targets") or [])])
    return [quoted_override("allow_targets", f"[{','.join(packages)}]")] if packages else []
