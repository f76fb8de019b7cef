from __future__ import annotations

import pytest

from dae.text import format_duration, format_figure, pluralize


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "–"), (0, "0.0000"), (0.98765, "0.9877"), (-31.25, "-31.2500"), (3.2e-7, "3.2e-07")],  # noqa: RUF001
)
def test_a_small_figure_keeps_its_digits(value, words):
    assert format_figure(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "–"), (12.34, "12.3 s"), (185, "3 min 05 s"), (3599.7, "1 h 00 min"), (7320, "2 h 02 min")],  # noqa: RUF001
)
def test_durations(value, words):
    assert format_duration(value) == words


def test_one_is_singular():
    assert [pluralize(1, "epoch"), pluralize(1200, "image")] == ["1 epoch", "1,200 images"]
