from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from dae.report.charts import Dots, Line, dot_chart, line_chart, parallel_coordinates, scatter
from helpers import drawn, markers

GRID = [Dots("p=0.1", [0.7, 0.9], 0.8, 0.1, best=True), Dots("p=<b> $x_1$", [0.5], 0.5, None)]
CHARTS = {
    "line": lambda: line_chart(
        "loss", [Line("train", [(1, 4.0), (2, 2.0)]), Line("val", [(2, 3.0)])], "epochs", 2
    ),
    "dots": lambda: dot_chart("Spread", GRID, "accuracy"),
    "scatter": lambda: scatter("t", [(0.1, 0.2), (0.1, 0.4), (0.2, 0.3)], "p", "accuracy"),
    "parallel": lambda: parallel_coordinates("t", ["p", "a"], [((0.1, 0.9), "b"), ((0.2, 0.5), "w")]),
}


def course(path):
    """The points of a path."""
    return [(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", path.get("d"))]


def texts(svg):
    return [node.text for node in ElementTree.fromstring(svg).iter("text")]


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_an_element_that_fits_into_any_page(name):
    svg = CHARTS[name]()
    assert svg == CHARTS[name](), "the same bytes each time"
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert not {node.tag for node in root.iter()} & {"style", "metadata", "script"}
    assert not re.search(r"#[0-9a-f]{6}|font-family|Date", svg.replace('href="#', "")), (
        "colours and font: the page's"
    )
    assert "var(--" in svg


def test_no_two_charts_of_a_page_share_an_id():
    points = [(1.0, 4.0), (2.0, 2.0)]
    page = "".join(line_chart(title, [Line("train", points)], "epochs", 2) for title in ("a", "b"))
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids)) >= 4
    assert set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', page)) <= {(x, "") for x in ids} | {
        ("", x) for x in ids
    }


def test_a_line_chart_draws_its_points_where_they_are():
    lines = [Line("train", [(1, 4.0), (2, 2.0), (3, 1.0)]), Line("val", [(2, 3.0)])]
    svg = line_chart("loss", lines, "epochs", 2)
    *train, val = markers(svg, "line")
    (x1, y1), (x2, y2), (x3, y3) = train
    assert x2 == pytest.approx((x1 + x3) / 2)
    assert y1 < y2 < y3, "a larger loss is higher up"
    assert y1 < val[1] < y2
    (mark,) = drawn(svg, "mark")
    assert course(mark)[0][0] == pytest.approx(x2)
    assert "train from 4.0000 to 1.0000; val 3.0000" in svg, "for those who do not see it"


def test_a_single_point_and_a_constant_are_drawn():
    svg = line_chart("loss", [Line("val", [(1, 0.0)])], "epochs")
    assert len(markers(svg, "line")) == 1
    assert "1" in texts(svg)
    assert not any("m" in text for text in texts(svg) if text != "epochs"), "no thousandth of an epoch"
    assert "nan" not in line_chart("loss", [Line("val", [(0, 1.0), (1, 1.0)])], "epochs")


def test_a_long_curve_is_thinned():
    svg = line_chart(
        "loss", [Line("train", [(float(x), (x % 7) / (x + 1)) for x in range(10_000)])], "images"
    )
    assert 50 < max(len(course(path)) for path in drawn(svg, "line")) < 310
    assert "10k" in texts(svg)


def test_dots_have_a_row_a_group_and_error_bars_of_a_standard_deviation():
    svg = dot_chart("Spread", GRID, "accuracy")
    assert len(markers(svg, "dots")) == 3
    (first, row), (second, _), (_, below) = markers(svg, "dots")
    assert row < below
    # The mean is 0.8, a standard deviation 0.1: here its ends are the dots.
    bars = [
        course(path)
        for path in ElementTree.fromstring(svg).iter("path")
        if "var(--accent)" in (path.get("style") or "")
    ]
    assert [(pytest.approx(first), pytest.approx(row)), (pytest.approx(second), pytest.approx(row))] in bars
    assert {"p=0.1", "0.8000 ± 0.1000", "0.5000", "p=<b> $x_1$"} <= set(texts(svg)), "as they are typed"
    assert "<b>" not in svg


def test_no_line_runs_through_a_label():
    svg = dot_chart(
        "Spread", [Dots(f"p={n}", [n / 10, n / 5], 0.15 * n, 0.1 * n) for n in range(1, 4)], "accuracy"
    )
    root = ElementTree.fromstring(svg)
    labels = [float(text.get("y", "nan")) for text in root.iter("text") if "p=" in str(text.text)]
    assert len(labels) == 3
    vertical = [
        sorted(y for _, y in course(path))
        for path in root.iter("path")
        if len({x for x, _ in course(path)}) == 1
    ]
    for top, *_, bottom in (ys for ys in vertical if len(ys) > 1):
        assert not any(top < y < bottom for y in labels)


def test_a_scatter_over_orders_of_magnitude_is_logarithmic():
    svg = scatter("t", [(1e-4, 0.1), (1e-3, 0.2), (1e-2, 0.3), (1e-2, 0.5)], "lr", "accuracy")
    xs = [x for x, _ in markers(svg, "dots")]
    assert xs[1] == pytest.approx((xs[0] + xs[2]) / 2, abs=0.01)
    assert {"lr (logarithmic)", "0.0001", "0.001"} <= set(texts(svg))
    assert "0.4000 at 0.01" in svg
    assert "logarithmic" not in scatter("t", [(0.0, 0.1), (0.5, 0.2)], "p", "accuracy")


def test_parallel_coordinates_end_with_the_best_on_top():
    rows = [((0.1, 32.0, 0.9), "best"), ((0.2, 16.0, 0.5), "worst"), ((0.2, 16.0, 0.4), "last")]
    svg = parallel_coordinates("t", ["p", "width", "accuracy"], rows)
    assert len(drawn(svg, "axis")) == 3
    *_, best = drawn(svg, "rows")
    (_, left), *_, (_, right) = course(best)
    assert left > right, "the lowest p and the highest accuracy"
    assert "stroke-opacity" not in str(best.get("style"))
    assert {"p", "0.1", "0.2", "accuracy", "0.9"} <= set(texts(svg))
    assert "The best: best" in svg
    assert "nan" not in parallel_coordinates("t", ["p", "a"], [((1.0, 0.5), "x"), ((2.0, 0.5), "y")])
