"""Each epoch starts from a random state of its own."""

from __future__ import annotations

from pytorch_lightning import Callback, LightningModule, Trainer

from dae.seeds import seed_all


class EpochSeed(Callback):
    """Seeds everything from (seed, stage, epoch), so that a resumed fit equals an uninterrupted one.

    Args:
        seed: The run's.
        stage: ``dae`` or ``classifier``.
    """

    def __init__(self, seed: int, stage: str) -> None:
        self.seed = seed
        self.stage = stage

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Seed the epoch before its order is drawn."""
        seed_all(self.seed, self.stage, trainer.current_epoch)
