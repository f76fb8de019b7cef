from __future__ import annotations

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from dae.report.scalars import read_series


def test_scalars_are_read_and_large_records_passed_over(tmp_path):
    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_image("picture", np.random.rand(3, 60, 60))
        for step in (2, 1, 3):
            writer.add_scalar("dae/val/loss", 0.5 / step, step)
        writer.add_scalar("dae/val/loss", float("nan"), 4)
    assert read_series(tmp_path) == {"dae/val/loss": [(1, 0.5), (2, 0.25), (3, np.float32(0.5 / 3))]}


def test_a_file_that_is_being_written_ends_in_half_a_record(tmp_path):
    with SummaryWriter(str(tmp_path)) as writer:
        for step in (1, 2):
            writer.add_scalar("x", 1.0, step)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    assert read_series(tmp_path) == {"x": [(1, 1.0)]}
