"""Commands that are printed work from where the user stands."""

from __future__ import annotations

import re
import shlex

from dae.config.groups import choice_node
from helpers import QUIET
from outcome import Train


def test_what_is_printed_sees_the_same_images(train: Train):
    mine = train("--help").place / "my configs" / "data"
    mine.mkdir(parents=True)
    (mine / "mine.yaml").write_text("defaults: [digits, _self_]\nlimit: 300\n")
    flags = ("--config-dir", "my configs")
    done = train(*flags, "data=mine", "data.augment=1", "stage=dae", "debug=smoke", *QUIET)
    end = "data=mine data.augment=1 --config-dir 'my configs'"
    (command,) = re.findall(r"go on +python train.py (.*)", done.out)
    assert command.endswith(end)
    # Pasted as it is; flags stand before overrides or after them.
    assert train("debug=smoke", *QUIET, *shlex.split(command)).exit_code == 0

    # Found in the job, and while what cannot be composed is diagnosed.
    for wrong in ((), ("dae.epochz=3",)):
        refused = train(*flags, "data=mine", "data.augment=1", "stage=classifier", *wrong)
        assert refused.exit_code == 2
        assert "python train.py stage=classifier classifier.encoder_checkpoint=outputs/" in refused.text
        assert end in refused.text


def test_a_choice_is_read_with_what_it_starts_from():
    assert choice_node("data", "digits")["split_seed"] == 0
    assert choice_node("data", "digits")["source"] == "digits"
    assert choice_node("dae/optimizer", "sgd")["momentum"] == choice_node("optimizer", "sgd")["momentum"]
    assert choice_node("data", "nothing") == {}
