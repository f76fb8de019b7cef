"""Files that are whole or not there, whoever else writes or reads them meanwhile."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path to write to, beside ``path``; it takes its place when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Processes of several machines may write into one folder, so a process id would not do.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Write all of a file or none of it.

    Raises:
        OSError: The disk is full or write-protected; what was there before is still there.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``content``; NaN and infinity, which JSON lacks, become null."""
    write_text_atomically(path, json.dumps(_finite(content), indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """What ``write_json`` has written there; empty if there is nothing yet."""
    content: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return content


def _finite(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _finite(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_finite(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node
