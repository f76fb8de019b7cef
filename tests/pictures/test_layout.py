from __future__ import annotations

import re
from pathlib import Path

from tensorboard.plugins.custom_scalar import layout_pb2

from dae.pictures.layout import custom_scalars
from helpers import events


def test_each_chart_has_something_to_show(watched_run: Path):
    for stage in ("dae", "classifier"):
        found = events(watched_run / stage)
        (written,) = found.Tensors("custom_scalars__config__")
        layout = layout_pb2.Layout.FromString(written.tensor_proto.string_val[0])
        category, *others = layout.category
        assert category.title == stage
        assert {chart.title for chart in category.chart} == set(custom_scalars(stage))
        assert [other.title for other in others] == (["robustness"] if stage == "dae" else [])
        tags = found.Tags()["scalars"]
        shown = {
            chart.title: [tag for tag in tags if re.search(chart.multiline.tag[0], tag)]
            for each in layout.category
            for chart in each.chart
        }
        assert not [title for title, lines in shown.items() if not lines]
        assert {f"{stage}/train/loss", f"{stage}/val/loss"} <= set(shown["loss"])
