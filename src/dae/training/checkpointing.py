"""Writes ``best.ckpt`` and ``last.ckpt``."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor
from torch.optim import Optimizer

from dae.metrics import Metric
from dae.training.pruning import Pruning

log = logging.getLogger(__name__)


def lay_out_like_parameters(optimizer: Optimizer) -> None:
    """Give the state of a fused optimizer the layout of its parameters.

    The fused kernels look at neither: they go through the memory of all tensors by the size of the parameter.

    Raises:
        ValueError: A tensor has another shape than its parameter.
    """
    fused = (
        parameter for group in optimizer.param_groups if group.get("fused") for parameter in group["params"]
    )
    for parameter in fused:
        state = optimizer.state.get(parameter, {})
        for name, value in state.items():
            shape = torch.Size() if name == "step" else parameter.shape
            if isinstance(value, Tensor) and value.shape != shape:
                found = tuple(value.shape)
                raise ValueError(f"the optimizer's {name} is of shape {found}, expected {tuple(shape)}")
            if isinstance(value, Tensor) and name != "step" and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, requires_grad=False).copy_(value)


def refuse_other_state(state: Mapping[str, Any], kinds: Mapping[str, type]) -> None:
    """Make sure that what a callback takes over, and uses only later, is of the right types.

    Args:
        state: From a checkpoint.
        kinds: The types of its members; of a tensor that holds one number.

    Raises:
        ValueError: It has others.
    """
    for name, kind in kinds.items():
        value = state[name]
        number = isinstance(value, Tensor) and value.dim() == 0 and not value.isnan()
        if not (number if kind is Tensor else type(value) is kind):
            raise ValueError(f"{name} is {value!r:.100}, expected {kind.__name__}")


def refuse_other_options(optimizer: Optimizer, scheduled: bool) -> None:
    """Make sure that an optimizer that was restored still has the options that it was built with.

    Args:
        optimizer: All of its parameters have the same.
        scheduled: Whether a schedule moves its learning rate.

    Raises:
        ValueError: A checkpoint has brought others than the config's.
    """
    free = {*("fused", "foreach", "capturable"), *(["lr"] if scheduled else [])}  # how, not what is computed
    for name, own in optimizer.defaults.items():
        for group in optimizer.param_groups:
            if name not in free and group[name] != own:
                raise ValueError(f"the optimizer's {name} is {group[name]!r:.100}, the run's is {own!r}")


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
        begun: The epochs behind the checkpoint that the fit goes on from.
        restored: Of how many optimizers and schedules that checkpoint has a state; None at the start.
        works: Whether a batch has gone through what was restored.
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
        self.validated_step = -1
        self.started = time.perf_counter() - seconds
        self.stopped: Literal["", "stopped", "pruned"] = ""
        self.begun = 0
        self.restored: list[int] | None = None
        self.works = False

    @property
    def state_key(self) -> str:
        """The name of its state in a checkpoint; Lightning's own is put together anew at each hook."""
        return type(self).__name__

    def on_train_batch_end(self, *_: Any) -> None:
        """Nothing is saved but after a validation and at the end of an epoch."""
        self.works = True

    def on_validation_batch_end(self, *_: Any, **__: Any) -> None:
        """What was restored can be used."""
        self.works = True

    on_test_batch_end = on_validation_batch_end

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take over whether the fit had been stopped."""
        self.stopped = checkpoint.get("stopped", "")
        self.begun = checkpoint.get("epochs", 0)
        self.restored = [len(checkpoint.get(name, ())) for name in ("optimizer_states", "lr_schedulers")]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do not train on what was stopped."""
        if self.stopped:
            trainer.should_stop = True
            why = "the search had pruned it" if self.stopped == "pruned" else "it had been stopped early"
            log.info("%s is not trained further than epoch %d: %s", pl_module.stage, self.begun, why)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the optimizers that have been restored.

        Raises:
            ValueError: One of them has other options, or would write outside of its tensors.
        """
        built = [len(trainer.optimizers), len(trainer.lr_scheduler_configs)]
        if self.restored not in (None, built):  # Lightning would begin anew with those that it does not find
            raise ValueError(
                f"it has states of {self.restored} optimizers and schedules, the run has {built}"
            )
        for optimizer in trainer.optimizers:
            refuse_other_options(optimizer, scheduled=bool(trainer.lr_scheduler_configs))
            lay_out_like_parameters(optimizer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the epoch that the checkpoint was written behind, where nothing more was to be trained.

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
        trainer.save_checkpoint(Path(str(self.dirpath)) / "last.ckpt")

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
            pruned = any(isinstance(each, Pruning) and each.pruned for each in trainer.callbacks)  # type: ignore[attr-defined]
            self.stopped = "pruned" if pruned else "stopped"
        checkpoint["stopped"] = self.stopped
        checkpoint["epochs"] = trainer.current_epoch + (1 if running else 0)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best score over, also from a run folder that has been moved since."""
        refuse_other_state(state_dict, {"best_k_models": dict, "kth_value": Tensor})

        def here(path: str) -> str:
            # Whatever the file says: Lightning deletes the best of before at this place.
            return str(Path(str(self.dirpath)) / "best.ckpt") if path else path

        moved = {name: here(state_dict[name]) for name in state_dict if name.endswith("_model_path")}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": best, "dirpath": self.dirpath})
