"""What the long form (``pytest -n 0 -m faults``) has tried, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

_COUNTS: dict[str, Counter[str]] = {}


@pytest.fixture
def tally() -> Callable[[str, str], None]:
    """Count one attempt: what was attacked, and its outcome in the words of the summary."""

    def count(attacked: str, outcome: str) -> None:
        _COUNTS.setdefault(attacked, Counter())[outcome] += 1

    return count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for attacked, outcomes in _COUNTS.items():
        told = ", ".join(f"{outcome} {count:,}" for outcome, count in sorted(outcomes.items()))
        terminalreporter.write_line(f"{attacked}: tried {outcomes.total():,}: {told}")
