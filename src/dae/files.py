"""Files that are whole or not there, whoever else writes or reads them; plain values in JSON and YAML."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from dae.errors import UserError
from dae.text import first_line, path_from_here


class DamagedFileError(UserError):
    """A small file that cannot be read, or holds something else than it should.

    Args:
        path: The file.
        why: What is wrong with it.
    """

    def __init__(self, path: Path, why: str) -> None:
        self.path, self.why = path, why
        remedy = REMEDIES.get(path.name, "")
        super().__init__(f"{path_from_here(path)} cannot be read: {why}. {remedy}".strip())


REMEDIES = {
    "result.json": "Delete it: a run without it goes on, from its checkpoints.",
    "stage.json": "Delete it: the run goes on, and the stage ends again from its last.ckpt.",
}


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path to write to, beside ``path``; it takes its place when the block ends without an error.

    Its folder has to be there: one that was moved or deleted while it was in use is not made anew.
    """
    # Processes of several machines may write into one folder, so a process id would not do.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Write all of a file or none of it, in UTF-8.

    Raises:
        OSError: The disk is full or write-protected; what was there before is still there.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def json_text(content: dict[str, Any]) -> str:
    """The content as JSON; NaN and infinity, which it lacks, become null."""
    return json.dumps(_finite(content), indent=2) + "\n"


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` atomically; see ``json_text``."""
    write_text_atomically(path, json_text(content))


def read_json(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file; empty if there is none.

    Raises:
        DamagedFileError: It holds something else.
    """
    return _read(path, json.loads)


def read_yaml(path: Path) -> Any:
    """The plain values in a YAML file; empty if there is none.

    Raises:
        DamagedFileError: It holds something else.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # five times as fast
    return _read(path, lambda text: yaml.load(text, Loader=loader), (dict, list))


def changed_at(file: Path) -> int:
    """When a file was changed, in ns; 0 if it is not there."""
    return file.stat().st_mtime_ns if file.is_file() else 0


def _read(path: Path, parse: Any, kinds: type | tuple[type, ...] = dict) -> Any:
    if not path.exists():
        return {}
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise DamagedFileError(path, first_line(error)) from error
    if not isinstance(content, kinds):
        raise DamagedFileError(path, f"it holds a {type(content).__name__}, expected a mapping")
    return content


def _finite(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _finite(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_finite(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node
