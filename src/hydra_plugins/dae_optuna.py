"""``hydra/sweeper=optuna``, found by Hydra in this namespace.

Hydra imports this module at every start, so all that takes time to import waits for a search to begin.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from dae.errors import ConfigError, Problem


class OptunaSweeper(Sweeper):
    """Hands a search over to ``dae.search.search``.

    Args:
        settings: ``conf/hydra/sweeper/optuna.yaml``.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Remember what a search needs."""
        self.loader = hydra_context.config_loader
        self.config: DictConfig = config
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Sequence[Any]:
        """Search.

        Raises:
            ConfigError: The command is refused, or the extra ``tune`` is not installed.
        """
        try:
            import_module("optuna")
        except ImportError:
            what = "needs the package optuna, which is not installed"
            raise ConfigError([Problem("hydra/sweeper=optuna", what, "pip install -e '.[tune]'")]) from None
        from dae.search.search import search

        search(arguments, self.config, self.launcher, self.loader)
        return []
