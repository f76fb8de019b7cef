"""Writes ``report.html`` into the folder of a run or of a sweep, from the files in that folder alone.

Jinja2 and the modules behind the pages are imported when the first page is written, so that
``train.py --help`` does not load them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dae.files import changed_at, write_text_atomically
from dae.text import path_from_here

if TYPE_CHECKING:
    from jinja2 import Environment

log = logging.getLogger(__name__)


def write_run_report(folder: Path) -> Path:
    """Write the page of a run, whether it has ended or not."""
    from dae.report.run_page import run_page

    return _write(folder, "run.html.jinja", run_page(folder))


def write_sweep_report(folder: Path) -> Path:
    """Write the page of a sweep, whether it has ended or not."""
    from dae.report.sweep_page import sweep_page

    return _write(folder, "sweep.html.jinja", sweep_page(folder))


def page_is_outdated(folder: Path) -> bool:
    """Whether a run has ended since its page was written."""
    return changed_at(folder / "result.json") > changed_at(folder / "report.html")


def write_or_warn(write: Callable[[Path], Path], folder: Path) -> None:
    """Write a page; a failure is only a warning, since no run should be lost to its report."""
    try:
        write(folder)
    except Exception as error:
        words = f"{type(error).__name__}: {error}"
        log.warning("%s could not be written: %s", path_from_here(folder / "report.html"), words)
        log.debug("Because of", exc_info=error)


def _write(folder: Path, template: str, content: dict[str, Any]) -> Path:
    page = folder / "report.html"
    write_text_atomically(page, templates().get_template(template).render(content))
    return page


@cache
def templates() -> Environment:
    """The templates beside this file, with everything that is inserted escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from dae.text import format_duration, format_figure

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(figure=format_figure, seconds=format_duration)
    return environment
