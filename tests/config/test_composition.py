from __future__ import annotations

import subprocess
import sys

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from dae.config.composition import remembered_compositions
from dae.config.groups import conf_folder
from dae.launch import register_resolvers

# In a process of its own: in this one Hydra remembers all the time (conftest.py).
COMPARISON = """
from contextlib import nullcontext
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from dae.config.composition import remembered_compositions
from dae.config.groups import conf_folder
from dae.launch import register_resolvers

COMMANDS = (
    ["seed=1"],
    ["seed=2", "data=digits"],
    ["data=digits", "dae/noise=gaussian", "dae.noise.std=0.1", "callbacks=none"],
    ["data=digits", "dae/noise=gaussian", "callbacks=none"],
    ["seed=1", "experiment=notebook", "~logger"],
)
register_resolvers()
def composed(context, commands):
    with context, initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return [OmegaConf.to_yaml(compose("train", command)) for command in commands]
assert composed(remembered_compositions(), 2 * COMMANDS) == 2 * composed(nullcontext(), COMMANDS)
"""


def test_what_is_remembered_is_what_hydra_composes():
    done = subprocess.run([sys.executable, "-c", COMPARISON], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_users_own_configs_are_read_again(tmp_path):
    register_resolvers()
    (tmp_path / "experiment").mkdir()
    file = tmp_path / "experiment" / "mine.yaml"
    own = ["experiment=mine", f"hydra.searchpath=[file://{tmp_path}]"]
    with remembered_compositions(), initialize_config_dir(str(conf_folder()), version_base="1.3"):
        for seed in (5, 6):
            file.write_text(f"# @package _global_\nseed: {seed}\n")
            assert f"seed: {seed}\n" in OmegaConf.to_yaml(compose("train", own))
