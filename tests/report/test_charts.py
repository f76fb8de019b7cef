from __future__ import annotations

from xml.etree import ElementTree

from dae.report.charts import Dots, Line, Scale, bars, dot_chart, line_chart, parallel_coordinates, scatter


def elements(svg, name):
    return list(ElementTree.fromstring(svg).iter(name))


def kinds(svg, name):
    return [node.get("class") for node in elements(svg, name)]


def test_a_scale_maps_its_ends():
    scale = Scale(1, 100, 200, 0, log=True)
    assert (scale(1), scale(10), scale(100)) == (200, 100, 0)
    assert scale.ticks() == [1, 10, 100]
    assert Scale(0.1, 0.34, 0, 1).ticks() == [0.1, 0.2, 0.3]
    assert Scale(5, 5, 0, 10)(5) == 5


def test_a_line_chart_draws_its_points_where_they_are():
    svg = line_chart(
        "loss", [Line("train", [(1, 4.0), (2, 2.0), (3, 1.0)]), Line("val", [(2, 3.0)])], "epochs", 2
    )
    (line,) = [node.get("points") for node in elements(svg, "polyline")]
    xs, ys = zip(*(map(float, pair.split(",")) for pair in line.split()), strict=True)
    assert xs[1] == (xs[0] + xs[2]) / 2
    assert ys[0] < ys[1] < ys[2], "a larger loss is higher up"
    assert kinds(svg, "circle") == ["dot s0"] * 3 + ["dot s1"]
    (mark,) = [node for node in elements(svg, "line") if node.get("class") == "mark"]
    assert float(mark.get("x1")) == xs[1]
    assert "train from 4.0000 to 1.0000; val 3.0000" in svg, "for those who do not see it"


def test_a_single_point_and_a_constant_are_drawn():
    assert kinds(line_chart("loss", [Line("val", [(0, 0.0)])], "epochs"), "circle") == ["dot s0"]
    assert "nan" not in line_chart("loss", [Line("val", [(0, 1.0), (1, 1.0)])], "epochs")


def test_a_long_curve_is_thinned():
    svg = line_chart("loss", [Line("train", [(float(x), 1.0 / (x + 1)) for x in range(10_000)])], "images")
    (line,) = elements(svg, "polyline")
    assert 200 < len(line.get("points").split()) < 310


def test_dots_have_a_row_a_group_and_error_bars_of_a_standard_deviation():
    rows = [Dots("p=0.1", [0.7, 0.9], 0.8, 0.1, best=True), Dots("p=<b>", [0.5], 0.5, None)]
    svg = dot_chart("Spread", rows, "accuracy")
    assert kinds(svg, "circle") == ["dot s0", "dot s0", "dot s1"]
    (error,) = [node for node in elements(svg, "line") if "error" in node.get("class")]
    first, second = (float(node.get("cx")) for node in elements(svg, "circle")[:2])
    # The mean is 0.8, a standard deviation 0.1: here the ends are the dots.
    assert (float(error.get("x1")), float(error.get("x2"))) == (first, second)
    texts = [node.text for node in elements(svg, "text")]
    assert {"p=0.1", "0.8000 ± 0.1000", "0.5000"} <= set(texts)
    assert "<b>" not in svg


def test_a_scatter_over_orders_of_magnitude_is_logarithmic():
    svg = scatter("t", [(1e-4, 0.1), (1e-3, 0.2), (1e-2, 0.3), (1e-2, 0.5)], "lr", "accuracy")
    xs = [float(node.get("cx")) for node in elements(svg, "circle")]
    assert abs(xs[1] - (xs[0] + xs[2]) / 2) < 0.01
    assert "lr (logarithmic)" in svg
    assert "0.4000 at 0.01" in svg
    assert len(elements(svg, "polyline")) == 1
    assert "logarithmic" not in scatter("t", [(0.0, 0.1), (0.5, 0.2)], "p", "accuracy")


def test_parallel_coordinates_end_with_the_best_on_top():
    rows = [((0.1, 32.0, 0.9), "best"), ((0.2, 16.0, 0.5), "worst")]
    svg = parallel_coordinates("t", ["p", "width", "accuracy"], rows)
    assert kinds(svg, "polyline") == ["line q2", "line q0"]
    assert len([node for node in elements(svg, "line") if node.get("class") == "axis"]) == 3
    assert "The best: best" in svg


def test_bars():
    widths = [float(node.get("width")) for node in elements(bars("t", [("a", 0.5), ("b", 0.25)]), "rect")]
    assert widths[0] == 2 * widths[1]
