"""The page of a sweep: the answer, its figure and table, the leaderboard, the jobs, commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dae.report.charts import Picture, comparison_chart, png_picture, spread_chart
from dae.runs.records import read_or_empty, read_stage, shared_stage_folder
from dae.sweeps import answer
from dae.sweeps.cautions import cautions
from dae.sweeps.commands import next_commands
from dae.sweeps.comparison import Comparison
from dae.sweeps.jobs import Job
from dae.sweeps.leaderboard import (
    count_by_status,
    headline,
    read_sweep,
    rows_of,
    shown_comparison,
    shown_groups,
)
from dae.text import pluralize


def sweep_page(folder: Path) -> dict[str, Any]:
    """Everything that ``sweep.html.jinja`` shows."""
    table, comparison = read_sweep(folder)
    columns = [*table.keys, "seed"]
    jobs = [
        (
            [job.values.get(key, job.seed) for key in columns],
            job,
            _link(job),
            job.signs and pluralize(len(job.signs), "sign"),
        )
        for job in table.jobs
    ]
    return {
        "title": f"Sweep {folder.name}",
        "sweep": table,
        "headline": headline(table),
        "count": count_by_status(table),
        "comparison": _comparison(comparison) if comparison else None,
        "board": rows_of(shown_groups(table)),
        "cautions": list(cautions(table, comparison is not None)),
        "spread": None if comparison else spread_chart(table),
        "importance": importance(folder),
        "columns": columns,
        "jobs": jobs,
        "commands_found": next_commands(table),
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    chance, told = answer.at_chance(comparison), answer.answer(comparison)
    return {
        "question": answer.question(comparison),
        "versus": f"{comparison.arms[-1]} against {comparison.baseline}",
        "chance": chance,
        "answer": f"{told[0].upper()}{told[1:]}",
        "evidence": f"{comparison.metric.name}: {answer.evidence(comparison)}",
        "tone": "doubtful" if chance else comparison.primary.verdict,
        "protocols": list(answer.answer_lines(comparison)),
        "worth": list(answer.worth(comparison)),
        "notes": list(answer.notes(comparison)),
        "chart": comparison_chart(comparison, _chance(comparison)),
        "rows": rows_of(shown_comparison(comparison)),
        "pictures": [picture for arm in comparison.arms if (picture := _reconstructions(comparison, arm))],
    }


def _chance(comparison: Comparison) -> float | None:
    """One of the number of classes, where an accuracy is compared."""
    if not comparison.metric.name.endswith("accuracy"):
        return None
    return next((1 / job.classes for job in comparison.jobs.values() if job.classes), None)


def _reconstructions(comparison: Comparison, arm: str) -> Picture | None:
    """What the first job of an arm with such a picture has left of stage 1."""
    for (_, seed, name), job in comparison.jobs.items():
        shared = read_or_empty(read_stage, job.folder / "dae").get("shared_from")
        file = shared_stage_folder(job.folder, shared, "dae") / "reconstructions.png"
        if name == arm and file.is_file():
            return png_picture(file, f"{comparison.key}={arm}, seed {seed}")
    return None


def _link(job: Job) -> str | None:
    """The page of a job, relative to that of the sweep; None if it has none."""
    return f"{quote(job.folder.name)}/report.html" if (job.folder / "report.html").is_file() else None


def importance(folder: Path) -> str | None:
    """How much each key mattered, as a search has written it to ``search.md``; None without a search."""
    file = folder / "search.md"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    line = re.search(r"^Importance: .*(?=\.$)", text, re.MULTILINE)
    return line.group().replace("`", "") if line else None
