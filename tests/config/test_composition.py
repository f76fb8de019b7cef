from __future__ import annotations

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
    ["seed=2"],
)


def composed(command: list[str]) -> str:
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return OmegaConf.to_yaml(compose("train", command))


def test_what_is_remembered_is_what_hydra_composes():
    register_resolvers()
    with remembered_compositions():
        remembered = [composed(command) for command in (*COMMANDS, *COMMANDS)]
    assert remembered[: len(COMMANDS)] == remembered[len(COMMANDS) :]
    # Within the session's own memory, which conftest.py begins: the first time of a choice is Hydra's own.
    assert remembered[0] != remembered[1]
    for command, text in zip(COMMANDS, remembered, strict=False):
        with remembered_compositions():
            assert composed(command) == text


def test_a_users_own_configs_are_read_again(tmp_path, monkeypatch):
    register_resolvers()
    (tmp_path / "experiment").mkdir()
    file = tmp_path / "experiment" / "mine.yaml"
    own = ["experiment=mine", f"hydra.searchpath=[file://{tmp_path}]"]
    with remembered_compositions():
        file.write_text("# @package _global_\nseed: 5\n")
        assert "seed: 5\n" in composed(own)
        file.write_text("# @package _global_\nseed: 6\n")
        assert "seed: 6\n" in composed(own)
