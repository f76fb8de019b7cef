"""``config.yaml`` of a run folder: data, whoever has written it.

It is read as plain values, without interpolations, and may name only classes that this command admits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dae.errors import Problem
from dae.files import DamagedFileError, misfit, read_yaml, sealed, write_text_atomically
from dae.keys import is_admitted
from dae.words import path_from_here, quoted_override

FILE = "config.yaml"
# The top level of the schema: a saved config has all of it.
NODES = ("data", "dae", "classifier", "trainer", "callbacks", "logger")
KEYS = (
    *("stage", "seed", "name", "pretraining", "objective", "compare", "allow_targets", "resume"),
    *NODES,
)
# Packages whose classes a saved config may name without being asked.
ADMITTED = ("dae", "torch.optim", "pytorch_lightning")


def write_saved_config(folder: Path, cfg: DictConfig) -> None:
    """Write the resolved config, whole, behind a line with its digest; the same config is not written again.

    Raises:
        OSError: The disk is full or write-protected; what was there before is still there.
    """
    text = sealed(OmegaConf.to_yaml(cfg, resolve=True))
    file = folder / FILE
    if not file.is_file() or file.read_bytes() != text.encode():
        write_text_atomically(file, text)


def read_saved_config(folder: Path) -> dict[str, Any]:
    """The config that a run has begun with, as plain values.

    Raises:
        DamagedFileError: It is not there, damaged or incomplete.
    """
    file = folder / FILE
    content: dict[str, Any] | None = read_yaml(file, KEYS)
    if content is None:
        raise DamagedFileError(file, "it is not there")
    shape: dict[str, Any] = {key: {} for key in NODES}
    if why := misfit(content, {**shape, "allow_targets": [str], "stage": str}):
        raise DamagedFileError(file, why)
    return content


def saved_problems(
    config: Mapping[str, Any], folder: Path, allow_targets: Sequence[str]
) -> Iterator[Problem]:
    """What a saved config may not hold: interpolations, and classes that this command does not admit.

    Args:
        config: From ``read_saved_config``.
        folder: The run's.
        allow_targets: Packages that this command admits besides ours.
    """
    for path, value in _leaves(config):
        if not isinstance(value, str):
            continue
        if "${" in value or value == "???" or "\0" in value:
            yield Problem(path, f"found {value!r} in {path_from_here(folder / FILE)}, expected a plain value")
        elif path.endswith("_target_") and not is_admitted(value, (*ADMITTED, *allow_targets)):
            package = value.split(".")[0]
            what = f"{path_from_here(folder / FILE)} asks to build {value}; only classes of "
            hint = f"If you trust that folder: {resume_command(folder, [*allow_targets, package])}"
            yield Problem(
                path,
                f"{what}{', '.join((*ADMITTED, *allow_targets))} are built",
                hint if re.fullmatch(r"\w+", package) else "",
            )


def needed_targets(config: Mapping[str, Any]) -> list[str]:
    """The ``allow_targets`` of a command that goes on: what the run was given, and what its config names."""
    given = [str(package) for package in config.get("allow_targets") or ()]
    named = [
        str(value).split(".")[0]
        for path, value in _leaves(config)
        if path.endswith("_target_") and not is_admitted(str(value), (*ADMITTED, *given))
    ]
    return [package for package in dict.fromkeys([*given, *named]) if re.fullmatch(r"[\w.]+", package)]


def resume_words(folder: Path, allow_targets: Sequence[str] | None = None) -> str:
    """The overrides that go on with a run: ``resume=..``, and ``allow_targets=[..]`` where it is needed.

    Args:
        folder: The run's.
        allow_targets: Packages that it needs; None looks into its config.
    """
    if allow_targets is None:
        try:
            allow_targets = needed_targets(read_saved_config(folder))
        except DamagedFileError:
            allow_targets = ()  # the command says what is wrong with it
    words = [quoted_override("resume", path_from_here(folder))]
    if allow_targets:
        words.append(quoted_override("allow_targets", f"[{','.join(allow_targets)}]"))
    return " ".join(words)


def resume_command(folder: Path, allow_targets: Sequence[str] | None = None) -> str:
    """The command that goes on with a run; see ``resume_words``."""
    return f"python train.py {resume_words(folder, allow_targets)}"


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Full path and value of all that is no mapping and no list; mappings in lists too."""
    if isinstance(node, Mapping | list):
        pairs = node.items() if isinstance(node, Mapping) else enumerate(node)
        for key, member in pairs:
            if isinstance(key, str) and "${" in key:
                yield f"{path}.{key}", key
            yield from _leaves(member, f"{path}.{key}" if path else str(key))
    else:
        yield path, node
