from __future__ import annotations

import re

from helpers import SMOKE, Train


def test_a_line_an_epoch_with_all_that_is_known(train: Train):
    done = train(*SMOKE, "dae.epochs=3", "classifier.epochs=1")
    lines = [line for line in done.out.splitlines() if re.match(r"(dae|classifier) epoch ", line)]
    assert len(lines) == 4
    for number, line in enumerate(lines[:3], 1):
        assert line.startswith(f"dae epoch {number}/3")
        assert re.search(r"train: loss \d\.\d{4}  val: loss \d\.\d{4} .*psnr", line)
    assert re.search(r"train: accuracy [\d.]+ loss [\d.]+  val: accuracy", lines[3])
    assert lines[0].split("val:")[0] != lines[1].split("val:")[0]


def test_old_validation_metrics_are_not_shown_again(train: Train):
    done = train(*SMOKE, "stage=dae", "dae.epochs=4", "trainer.check_val_every_n_epoch=2")
    shown = ["val:" in line for line in done.out.splitlines() if line.startswith("dae epoch ")]
    assert shown == [False, True, False, True]
