"""A leaderboard as text: ``leaderboard.md``, and some lines for the console."""

from __future__ import annotations

from collections import Counter

from dae.sweeps import comparison_text
from dae.sweeps.arms import compare_arms
from dae.sweeps.cautions import cautions
from dae.sweeps.commands import next_commands
from dae.sweeps.compared import COMPARISON
from dae.sweeps.comparison import Comparison
from dae.sweeps.comparison_answer import sentence, written
from dae.sweeps.ranking import Leaderboard
from dae.text import aligned, code_block, markdown, path_from_here, pluralize, printable

ROWS_ON_THE_CONSOLE = 10
WIDEST_VALUE = 40
BETTER = {"min": "lower is better", "max": "higher is better"}


def markdown_text(board: Leaderboard) -> str:
    """The text of ``leaderboard.md``."""
    head, *rows = _table(board)
    lines = [f"# {markdown(board.folder.name)}", ""]
    if comparison := compare_arms(board):
        lines += _comparison_section(comparison)
    lines += [markdown(f"{headline(board)}. {count_by_status(board)}."), ""]
    lines += [_row(head), _row(["---"] * len(head)), *map(_row, rows)]
    if words := list(cautions(board)):
        lines += ["", "## Caution", "", *(markdown(f"* {sentence}.") for sentence in words)]
    if failed := [job for job in board.jobs if job.failed]:
        lines += [
            "",
            "## Failed jobs",
            "",
            *(f"* `{_span(job.folder.name)}`: {markdown(job.error)}" for job in failed),
        ]
    lines += ["", "## Commands", ""]
    for label, command in next_commands(board).items():
        lines += [f"{label.capitalize()}:", "", code_block(command), ""]
    lines.append(
        "The same in figures: `leaderboard.csv`, a row a group of seeds, and `jobs.csv`, a row a job"
        f"{'; `comparison.csv`, a row a comparison' if comparison else ''}."
    )
    return "\n".join(lines) + "\n"


def _notes(comparison: Comparison) -> list[str]:
    signs = comparison_text.signs_by_arm(comparison)
    return [*comparison_text.notes(comparison), *(f"{arm}: {words}" for arm, words in signs.items())]


def _comparison_section(comparison: Comparison) -> list[str]:
    question, rest = sentence(comparison).split("? ", 1)
    head, *rows = comparison_text.table(comparison)
    lines = [markdown(f"## {question}?"), "", markdown(f"**{rest[0].upper()}{rest[1:]}.**"), ""]
    lines += [_row(head), _row(["---"] * len(head)), *map(_row, rows), ""]
    lines += [markdown(f"* {words}.") for words in _notes(comparison)]
    lines += [markdown(f"* Caution: {words}.") for words in comparison_text.cautions(comparison)]
    return [*lines, "", "## Leaderboard", ""]


def console_text(board: Leaderboard) -> str:
    """The answer, if a key is compared; a short table, cautions, commands, and where the files are."""
    lines = []
    if comparison := compare_arms(board):
        lines += [f"{sentence(comparison)}.", *_aligned(comparison_text.table(comparison))]
        lines += [f"  Note: {words}" for words in _notes(comparison)]
        lines += [f"  Caution: {words}" for words in comparison_text.cautions(comparison)]
    lines += [f"{headline(board)}. {count_by_status(board)}.", *_aligned(_table(board))]
    lines += [f"  Caution: {sentence}" for sentence in cautions(board)]
    lines += [f"  {label:<18}  {command}" for label, command in next_commands(board).items()]
    folder = path_from_here(board.folder.absolute())
    files = ["report.html", "leaderboard.md", "leaderboard.csv", "jobs.csv"]
    files += [COMPARISON] if comparison else []
    lines.append(f"  {'where it stands':<18}  {folder}  ({', '.join(files)})")
    return "\n".join(map(printable, lines))


def _aligned(table: list[list[str]]) -> list[str]:
    """The first rows of a table for the console, indented."""
    head, *rows = [[_clip(cell) for cell in row] for row in table]
    shown = [head, *rows[:ROWS_ON_THE_CONSOLE]]
    lines = [f"  {line}" for line in aligned(shown)]
    left = len(rows) - ROWS_ON_THE_CONSOLE
    return [*lines, f"  ... {left} more in leaderboard.md"] if left > 0 else lines


def headline(board: Leaderboard) -> str:
    """Which metric the ranking is by."""
    if board.objective is None:
        return "Leaderboard: no job has been measured yet"
    name, better = board.objective.name, BETTER[board.objective.mode]
    return f"Leaderboard by {name} of the best checkpoint ({better}), mean over seeds"


def count_by_status(board: Leaderboard) -> str:
    """How many jobs there are, and how many of them have each status."""
    counts = Counter(job.status for job in board.jobs)
    jobs = pluralize(len(board.jobs), "job")
    return f"{jobs}: {', '.join(f'{count} {status}' for status, count in sorted(counts.items()))}"


def _table(board: Leaderboard) -> list[list[str]]:
    """The rows of the table, the header first, with no other test metric than that of the objective."""
    test = board.objective.name.replace("/val/", "/test/") if board.objective else None
    tested = [test] if test in board.metrics and board.objective and test != board.objective.name else []
    rows = [["rank", *board.keys, "n", "failed", "mean", "std", *tested]]
    for place, group in zip(board.ranks, board.groups, strict=True):
        values = group.jobs[0].values
        row = ["-" if place is None else str(place), *(values.get(key, "-") for key in board.keys)]
        row += [str(len(group.scored)), str(group.failed), written(group.mean), written(group.std)]
        rows.append(row + [written(group.figures(name)[0]) for name in tested if name])
    return rows


def _clip(text: str) -> str:
    text = printable(text)
    return text if len(text) <= WIDEST_VALUE else f"{text[: WIDEST_VALUE - 3]}..."


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(map(markdown, cells))} |"


def _span(name: str) -> str:
    return name.replace("`", "'").replace("\n", " ")
