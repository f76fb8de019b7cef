"""The callbacks that take part in every fit: each keeps one promise."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import NonNegativeFloat, PositiveInt
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning import callbacks as lightning
from pytorch_lightning.callbacks import ModelCheckpoint, RichProgressBar
from pytorch_lightning.trainer.states import TrainerFn

from dae.errors import UserError
from dae.metrics import Metric
from dae.models.epoch_metrics import MeasuredModule
from dae.runs.process import shows_progress
from dae.seeds import seed_all

if TYPE_CHECKING:  # Optuna is an extra
    from optuna.trial import Trial

log = logging.getLogger(__name__)

USUAL_RATE = 1e-3  # torch's own, of all its optimizers


class StageCheckpoint(ModelCheckpoint):
    """The best validation by ``monitor``, or the last epoch without it; each file holds its own metrics.

    With ``trainer.val_check_interval`` the best may lie within an epoch. ``last.ckpt`` is always written at
    the end of one, and what is resumed from it meets the same validations again. The decision to stop early
    belongs to it, whoever has made it: a fit that goes on from there stays stopped.

    Args:
        folder: Of the stage.
        monitor: The metric that decides; None when nothing is chosen.
        seconds: What the stage has taken in an earlier process.

    Attributes:
        stopped: Whether the fit has been stopped before its last epoch, by a search (``pruned``) or not.
    """

    def __init__(self, folder: Path, monitor: Metric | None, seconds: float = 0.0) -> None:
        super().__init__(
            dirpath=folder,
            filename="best",
            monitor=monitor.name if monitor else None,
            mode=monitor.mode if monitor else "min",
            save_top_k=1,
            enable_version_counter=False,
            save_on_train_epoch_end=monitor is None,
        )
        self.best, self.last = folder / "best.ckpt", folder / "last.ckpt"
        self.validated_step = -1
        self.started = time.perf_counter() - seconds
        self.stopped: Literal["", "stopped", "pruned"] = ""

    @property
    def state_key(self) -> str:
        """The name of its state in a checkpoint; Lightning's own is put together anew at each hook."""
        return type(self).__name__

    def on_train_batch_end(self, *_: Any) -> None:
        """Nothing is saved but after a validation and at the end of an epoch."""

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take over whether the fit had been stopped."""
        self.stopped = checkpoint.get("stopped", "")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do not train on what was stopped."""
        if self.stopped:
            trainer.should_stop = True
            why = "the search had pruned it" if self.stopped == "pruned" else "it had been stopped early"
            log.info("%s is not trained further: %s", pl_module.stage, why)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the epoch after which the checkpoint was written, where nothing more is to be trained.

        Lightning does so itself where all epochs are behind it.
        """
        progress: Any = trainer.fit_loop.epoch_progress.current
        if self.stopped:
            progress.completed = progress.processed

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember which weights the present metrics are of; write them if they are the best."""
        self.validated_step = trainer.global_step
        super().on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last: Lightning's ``save_last`` (2.6) waits for a best."""
        super().on_train_epoch_end(trainer, pl_module)
        trainer.save_checkpoint(self.last)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what these weights have reached, if it was measured, and in which epoch."""
        running = trainer.training or trainer.validating
        fresh = running and self.validated_step == trainer.global_step
        metrics = trainer.callback_metrics.items() if fresh else ()
        checkpoint["metrics"] = {name: float(value) for name, value in metrics if "/val/" in name}
        checkpoint["seconds"] = time.perf_counter() - self.started
        if running and trainer.should_stop:
            self.stopped = self.stopped or "stopped"
        checkpoint["stopped"] = self.stopped
        checkpoint["epochs"] = trainer.current_epoch + (1 if running else 0)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best score over, also from a run folder that has been moved since."""

        def here(path: str) -> str:
            # Whatever the file says: Lightning deletes the best of before at this place.
            return str(self.best) if path else path

        moved = {name: here(state_dict[name]) for name in state_dict if name.endswith("_model_path")}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": best, "dirpath": self.dirpath})


class EpochSeed(Callback):
    """Seeds everything from (seed, stage, epoch), so that a resumed fit equals an uninterrupted one.

    Args:
        seed: The run's.
        stage: ``dae`` or ``classifier``.
    """

    def __init__(self, seed: int, stage: str) -> None:
        self.seed, self.stage = seed, stage

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Seed the epoch before its order is drawn."""
        seed_all(self.seed, self.stage, trainer.current_epoch)


class StopOnDivergence(Callback):
    """Checks the loss of every step; on a GPU, which it would have to wait for, of every logged step."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Check the loss.

        Raises:
            UserError: The loss is infinite or not a number.
        """
        loss, every = outputs["loss"], trainer.log_every_n_steps  # type: ignore[attr-defined]
        last = batch_idx + 1 == trainer.num_training_batches
        if loss.device.type == "cpu" or (batch_idx + 1) % every == 0 or last:
            self._check(trainer, pl_module, float(loss), "loss")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check what the last step has led to, which no loss of a step shows.

        Raises:
            UserError: The validation loss is infinite or not a number.
        """
        value = float(trainer.callback_metrics.get(f"{pl_module.stage}/val/loss", 0.0))
        if trainer.optimizers:
            self._check(trainer, pl_module, value, "validation loss")

    def _check(self, trainer: Trainer, module: LightningModule, value: float, what: str) -> None:
        if math.isfinite(value):
            return
        group = trainer.optimizers[0].param_groups[0]
        # A schedule keeps the rate that was asked for; a tenth of an absurd rate is one, too.
        asked = group.get("max_lr", group.get("initial_lr", group["lr"]))
        clip = "" if trainer.gradient_clip_val else ", or trainer.gradient_clip_val=1.0"
        place = f"step {trainer.global_step} (epoch {trainer.current_epoch + 1})"
        raise UserError(
            f"{module.stage} diverged: its {what} is {value} at {place}, with a learning rate of "
            f"{group['lr']:g}\n      try {module.stage}.optimizer.lr={min(asked / 10, USUAL_RATE):g}{clip}"
        )


class EarlyStopping(lightning.EarlyStopping):
    """Lightning's, on whatever decides the stage's ``best.ckpt``.

    Args:
        patience: Validations without improvement before the stop.
        min_delta: What counts as one, in the unit of the metric.
    """

    def __init__(self, patience: PositiveInt = 3, min_delta: NonNegativeFloat = 0.0) -> None:
        super().__init__(monitor="", patience=patience, min_delta=min_delta)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Watch the metric that decides the checkpoint."""
        checkpoint = stage_checkpoint(trainer)
        assert checkpoint.monitor is not None  # refused where nothing is chosen
        self.monitor, self.mode = checkpoint.monitor, checkpoint.mode
        self.min_delta = abs(self.min_delta) * (1 if self.mode == "max" else -1)
        if stage == "fit":
            self.best_score = self.best_score.new_tensor(float("-inf" if self.mode == "max" else "inf"))
        super().setup(trainer, pl_module, stage)


class Pruning(Callback):
    """Reports the objective to a search after each validation, and stops a trial that it gives up.

    Args:
        trial: Of the search.
        objective: A metric; the stage that does not measure it on validation is left alone.
    """

    def __init__(self, trial: Trial, objective: str) -> None:
        self.trial, self.objective = trial, objective

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
            stage_checkpoint(trainer).stopped = "pruned"
            trainer.should_stop = True


class EpochLines(Callback):
    """One line an epoch: training loss, the validation metrics if there are new ones, the time it took."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of the epoch."""
        self.validated, self.started = False, time.perf_counter()

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember that there are new validation metrics."""
        self.validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the line. The module logs its training metrics only after this."""
        stage, seconds = cast(MeasuredModule, pl_module).stage, time.perf_counter() - self.started
        trained = {name: float(value) for name, value in pl_module.train_metrics.compute().items()}  # type: ignore[operator,union-attr]
        prefix = f"{stage}/val/"
        measured = {
            name.removeprefix(prefix): float(value)
            for name, value in trainer.callback_metrics.items()
            if self.validated and name.startswith(prefix)
        }
        texts = [
            f"{split}: {' '.join(f'{name} {value:.4f}' for name, value in metrics.items())}"
            for split, metrics in (("train", trained), ("val", measured))
            if metrics
        ]
        epoch = f"{trainer.current_epoch + 1}/{trainer.max_epochs}"
        log.info("%s epoch %-5s  %s  (%.1f s)", stage, epoch, "  ".join(texts), seconds)


def stage_checkpoint(trainer: Trainer) -> StageCheckpoint:
    """The callback that writes the stage's checkpoints."""
    (found,) = (each for each in trainer.checkpoint_callbacks if isinstance(each, StageCheckpoint))
    return found


def progress_callbacks() -> list[Callback]:
    """The line an epoch, and on a terminal Lightning's bar too."""
    # At every step it would cost 2 ms.
    return [EpochLines(), *([RichProgressBar(refresh_rate=20)] if shows_progress() else [])]
