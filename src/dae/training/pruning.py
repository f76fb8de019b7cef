"""Reports a trial to its search, which may end it early."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn

if TYPE_CHECKING:  # Optuna is an extra
    from optuna.trial import Trial

log = logging.getLogger(__name__)


class Pruning(Callback):
    """Reports the objective after each validation, and stops a trial that the search gives up.

    Args:
        trial: Of the search.
        objective: A metric; the stage that does not measure it on validation is left alone.
    """

    def __init__(self, trial: Trial, objective: str) -> None:
        self.trial = trial
        self.objective = objective
        self.pruned = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report; stop at the end of this epoch, when its checkpoint is written."""
        value = trainer.callback_metrics.get(self.objective)
        if value is None or trainer.state.fn != TrainerFn.FITTING:
            return
        epoch = trainer.current_epoch + 1
        self.trial.report(float(value), epoch)
        # After the last epoch there is nothing to be saved by giving up.
        if epoch != trainer.max_epochs and self.trial.should_prune():
            log.info("Pruned after epoch %d: %s %.4f", epoch, self.objective, float(value))
            self.pruned = trainer.should_stop = True
