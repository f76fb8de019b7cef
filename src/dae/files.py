"""Files that are whole or not there, whoever else writes or reads them meanwhile."""

from __future__ import annotations

import secrets
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write all of a file or none of it.

    Raises:
        OSError: The disk is full or write-protected; what was there before is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Processes of several machines may write into one folder, so a process id would not do.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
