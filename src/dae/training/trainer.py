"""Lightning's Trainer, with the settings that make sense for one stage and ``precision: auto``."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from pytorch_lightning import Callback, Trainer, plugins
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.trainer.connectors.signal_connector import _SignalConnector
from pytorch_lightning.utilities.enums import GradClipAlgorithmType
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch.optim import Optimizer

from dae.errors import ConfigError, Problem
from dae.runs.checkpoint_file import read_content, write_content
from dae.training.processes import device_count, is_follower
from dae.training.time_limit import Duration, TimeLimit

log = logging.getLogger(__name__)

Batches = PositiveInt | Annotated[float, Field(gt=0, le=1)]
# The images are made on the device, in float32: others would meet weights of another precision.
Computed = Literal["32-true", "bf16-mixed", "16-mixed"]
Precision = Literal["auto"] | Computed


def build_trainer(
    max_epochs: int,
    callbacks: Sequence[Callback],
    logger: Sequence[Logger],
    folder: Path,
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto",
    strategy: Literal["auto", "ddp"] = "auto",
    devices: PositiveInt | Annotated[list[NonNegativeInt], Field(min_length=1)] = 1,
    precision: Precision = "auto",
    gradient_clip_val: NonNegativeFloat | None = None,
    gradient_clip_algorithm: Literal["norm", "value"] = "norm",
    accumulate_grad_batches: PositiveInt = 1,
    limit_train_batches: Batches = 1.0,
    limit_val_batches: Batches = 1.0,
    limit_test_batches: Batches = 1.0,
    check_val_every_n_epoch: PositiveInt = 1,
    val_check_interval: Batches = 1.0,
    max_time: Duration | None = None,
    log_every_n_steps: PositiveInt = 50,
    deterministic: bool = False,
    detect_anomaly: bool = False,
    profiler: Literal["simple", "advanced", "pytorch"] | None = None,
    **lightning: Annotated[Any, Trainer],
) -> Trainer:
    """A Trainer for one stage; what is not said here has Lightning's own meaning.

    Args:
        max_epochs: From ``dae.epochs`` or ``classifier.epochs``.
        callbacks: In their order.
        logger: All that are logged to.
        folder: Of the stage.
        accelerator: ``auto`` is the best that is there.
        strategy: ``auto`` trains on one device; ``ddp`` on several, whose processes ``processes.py`` starts.
        devices: How many, or a list with the indices of those to use.
        precision: ``auto`` is bf16-mixed where the device computes in bf16, else 32-true.
        gradient_clip_val: Largest gradient; null for no clipping.
        gradient_clip_algorithm: Clip the ``norm`` of all gradients, or each ``value``.
        accumulate_grad_batches: Batches an optimizer step.
        limit_train_batches: A number of batches or a share of an epoch.
        limit_val_batches: The same for validation.
        limit_test_batches: The same for the test.
        check_val_every_n_epoch: Epochs between two validations.
        val_check_interval: Batches, or the share of an epoch, between two validations within an epoch.
        max_time: How long the stage may train in this process before the run is interrupted.
        log_every_n_steps: Steps between two points of the training curve.
        deterministic: Only deterministic kernels (CUDA).
        detect_anomaly: Say where a NaN arose in the backward pass; slow.
        profiler: Time the parts of the fit; printed at its end.
        **lightning: Any other argument of Lightning's Trainer that is not set here.

    Raises:
        ConfigError: The device is not there.
    """
    chosen, why = device_type(accelerator)
    computed, reason = best_precision(chosen) if precision == "auto" else (precision, "asked for")
    log.info("Device: %s (%s), precision: %s (%s)", chosen, why, computed, reason)
    if not torch.cuda.is_available():
        # Torch looks for the driver in each step of Adam, a tenth of a step of stage 2, unless told not to.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    # Lightning takes a precision or a plugin that stands for one.
    own = [] if computed == "32-true" else [MixedTraining(computed, chosen)]
    several = device_count({"devices": devices}) > 1
    if not several:
        # Lightning takes a rank that a cluster has left in the environment for this run's, and logs nothing.
        cast(Any, rank_zero_only).rank = 0
    limit = [TimeLimit(max_time)] if max_time is not None and not is_follower() else []
    trainer = Trainer(
        accelerator=chosen,
        devices=devices,
        precision=None if own else computed,
        # The environment is named, since under SLURM Lightning would take its tasks for processes of the run.
        plugins=[CheckedCheckpoints(), *own, LightningEnvironment()],
        strategy=strategy if several else "auto",
        max_epochs=max_epochs,
        callbacks=[*callbacks, *limit],
        # False, not []: an empty list would be replaced by Lightning's default logger.
        logger=list(logger) or False,
        default_root_dir=folder,
        gradient_clip_val=gradient_clip_val,
        gradient_clip_algorithm=gradient_clip_algorithm,
        accumulate_grad_batches=accumulate_grad_batches,
        limit_train_batches=limit_train_batches,
        limit_val_batches=limit_val_batches,
        limit_test_batches=limit_test_batches,
        check_val_every_n_epoch=check_val_every_n_epoch,
        val_check_interval=val_check_interval,
        log_every_n_steps=log_every_n_steps,
        deterministic=deterministic,
        detect_anomaly=detect_anomaly,
        profiler=profiler or Unprofiled(),
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in callbacks),
        use_distributed_sampler=False,  # each process draws its own share of a batch
        **lightning,
    )
    trainer._signal_connector = NoHandlers(trainer)
    return trainer


class NoHandlers(_SignalConnector):
    """Signals are for who launches the run. Lightning's own handler would wait for the other processes."""

    def register_signal_handlers(self) -> None:
        """Leave all handlers as they are."""


class Unprofiled(PassThroughProfiler):
    """No profiler: one context for every hook, where Lightning's makes a new one for each, some 80 a step."""

    _nothing = nullcontext()

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        """Do nothing."""
        return self._nothing


class CheckedCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole or not there, written and opened as ``checkpoint_file`` does.

    Lightning's pass through $TMPDIR, perhaps on another disk, and are opened unchecked. With several devices
    the first process writes, and each one checks what it goes on from.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write it with its digest."""
        write_content(Path(path), checkpoint)

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Check and open it; what a file holds is data, whatever Lightning would allow."""
        return read_content(Path(path))


class MixedTraining(plugins.MixedPrecision):
    """Lightning's mixed precision in training alone: what is measured is computed in float32.

    In bf16 the SSIM of the same weights is another one: 0.9336 instead of 0.9308 on digits, 0.334 instead of
    0.543 on colour photos.
    """

    @contextmanager
    def val_step_context(self) -> Iterator[None]:
        """Validate in float32."""
        yield

    test_step_context = val_step_context

    def clip_gradients(
        self,
        optimizer: Optimizer,
        clip_val: int | float = 0.0,
        gradient_clip_algorithm: GradClipAlgorithmType = GradClipAlgorithmType.NORM,
    ) -> None:
        """Clip those of fused optimizers, too, where nothing is scaled: that is, in bf16."""
        kind = plugins.Precision if self.scaler is None else plugins.MixedPrecision
        kind.clip_gradients(self, optimizer, clip_val, gradient_clip_algorithm)


def device_type(accelerator: str) -> tuple[Literal["cpu", "cuda", "mps"], str]:
    """The device that ``accelerator`` means on this machine, and why.

    Raises:
        ConfigError: It is not there.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if accelerator == "auto":
        if cuda:
            return "cuda", "CUDA is available"
        return ("mps", "MPS is available") if mps else ("cpu", "no CUDA, no MPS here")
    if accelerator in ("gpu", "cuda") and cuda:
        return "cuda", "asked for"
    if accelerator in ("gpu", "mps") and mps:
        return "mps", "asked for"
    if accelerator == "cpu":
        return "cpu", "asked for"
    here = [name for name, there in (("cuda", cuda), ("mps", mps), ("cpu", True)) if there]
    what = f"found {accelerator!r}, but this machine has {', '.join(here)}"
    raise ConfigError([Problem("trainer.accelerator", what, "try trainer=auto")])


def devices_there(device: str) -> int:
    """How many of a device this machine has."""
    return torch.cuda.device_count() if device == "cuda" else 1


def best_precision(device: str) -> tuple[Computed, str]:
    """The fastest precision whose results are those of float32 here, and why."""
    if device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16-mixed", "this GPU computes in bf16"
    if device == "cpu" and torch.cpu._is_avx512_bf16_supported():
        return "bf16-mixed", "this processor computes in bf16 (avx512_bf16)"
    return "32-true", "bf16 is not computed in hardware here"
