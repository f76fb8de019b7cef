"""``config.yaml`` of a run folder: data, whoever has written it.

It is read as plain values, without interpolations, and may name only classes that this command admits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dae.errors import Problem
from dae.files import DamagedFileError, read_yaml, sealed, write_text_atomically
from dae.keys import is_admitted
from dae.shapes import misfit, nodes
from dae.words import path_from_here, quoted_override, train_command

FILE = "config.yaml"
# The top level of the schema: a saved config has all of it.
NODES = ("data", "dae", "classifier", "trainer", "callbacks", "logger")
KEYS = (
    *("stage", "seed", "name", "pretraining", "objective", "compare", "allow_targets", "resume"),
    *NODES,
)
# The groups whose nodes are any number of classes, also of others.
GIVEN = ("callbacks", "logger")
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
    config: Mapping[str, Any],
    folder: Path,
    allow_targets: Sequence[str],
    command: Callable[[Sequence[str]], str] | None = None,
) -> Iterator[Problem]:
    """What a saved config may not hold: interpolations, and classes that this command does not admit.

    Args:
        config: From ``read_saved_config``.
        folder: The run's.
        allow_targets: Packages that this command admits besides ours.
        command: The command that admits others; None for the one that goes on with the run.
    """

    def if_trusted(package: str) -> str:  # nothing for what is no name of one
        packages = [*allow_targets, package]
        told = command(packages) if command else resume_command(folder, packages)
        return f"If you trust that folder: {told}" if re.fullmatch(r"\w+", package) else ""

    for path, value, package in _leading_out(config, allow_targets):
        what = f"found {value!r} in {path_from_here(folder / FILE)}, which leads out of the run folder"
        yield Problem(path, what, if_trusted(package))
    for path, value in nodes(config):
        if not isinstance(value, str):
            continue
        if "${" in value or value == "???" or "\0" in value:
            yield Problem(path, f"found {value!r} in {path_from_here(folder / FILE)}, expected a plain value")
        elif path.endswith("_target_") and not is_admitted(value, (*ADMITTED, *allow_targets)):
            package = value.split(".")[0]
            what = f"{path_from_here(folder / FILE)} asks to build {value}; only classes of "
            yield Problem(
                path,
                f"{what}{', '.join((*ADMITTED, *allow_targets))} are built",
                if_trusted(package),
            )


def _leading_out(config: Mapping[str, Any], allow_targets: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Paths and addresses by which a callback or a logger would write outside of the run folder.

    Full key path, the value, and the package of the class, which is none that the command admits by name.
    """
    given = [(f"{group}.{name}", node) for group in GIVEN for name, node in (config.get(group) or {}).items()]
    for place, node in given:
        target = node.get("_target_") if isinstance(node, Mapping) else None
        if isinstance(target, str) and not is_admitted(target, allow_targets):
            for path, value in nodes(node, place):
                # It takes both / and \ for what parts folders.
                written = PureWindowsPath(value) if isinstance(value, str) else PureWindowsPath()
                address = isinstance(value, str) and "://" in value  # of a server, or of a database
                if address or written.anchor or ".." in written.parts or str(value).startswith("~"):
                    yield path, value, target.split(".")[0]


def needed_targets(config: Mapping[str, Any]) -> list[str]:
    """The ``allow_targets`` of a command that goes on: what the run was given, and what its config names."""
    given = [str(package) for package in config.get("allow_targets") or ()]
    named = [
        str(value).split(".")[0]
        for path, value in nodes(config)
        if path.endswith("_target_") and not is_admitted(str(value), (*ADMITTED, *given))
    ]
    named += [package for _, _, package in _leading_out(config, given)]
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
    return f"{train_command()} {resume_words(folder, allow_targets)}"
