"""How large each room may be, in code lines; a new feature has to find its own room."""

from __future__ import annotations

import ast
import tokenize
from pathlib import Path

import pytest

from outcome import REPOSITORY

SOURCE = REPOSITORY / "src" / "dae"
# A room's budget, or what it had when this was last looked at, where that is more.
ROOMS = {
    "": 1189,
    "config": 617,
    "data": 830,
    "models": 595,
    "pictures": 506,
    "report": 610,
    "runs": 767,
    "search": 246,
    "sweeps": 1150,
    "training": 831,
    "use": 724,
}
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def code_lines(file: Path) -> int:
    """Lines that hold a token besides comments, and belong to no docstring."""
    with file.open("rb") as opened:
        tokens = [token for token in tokenize.tokenize(opened.readline) if token.type not in NO_CODE]
    lines = {line for token in tokens for line in range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if first and ast.get_docstring(node, clean=False) is not None:
                lines -= {*range(first.lineno, (first.end_lineno or 0) + 1)}
    return len(lines)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_no_larger_than_its_figure(room):
    files = [*(SOURCE / room).glob("*.py")]
    assert sum(map(code_lines, files)) <= 1.05 * ROOMS[room]
    # No module is so long that it cannot be read at once.
    assert max(map(code_lines, files)) <= 250


def test_every_room_has_a_figure():
    assert {folder.name for folder in SOURCE.iterdir() if [*folder.glob("*.py")]} | {""} == ROOMS.keys()
