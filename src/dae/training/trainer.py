"""Lightning's Trainer, with the settings that make sense for one stage and ``precision: auto``."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import torch
from pydantic import Field, PositiveInt
from pytorch_lightning import Callback, Trainer, plugins
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.utilities.enums import GradClipAlgorithmType
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch.optim import Optimizer

from dae.runs.checkpoint import read_content, write_content
from dae.training.devices import device_count

log = logging.getLogger(__name__)

# Lightning's others give the weights another precision than the images have, which are float32.
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]


def build_trainer(
    max_epochs: int,
    callbacks: Sequence[Callback],
    logger: Sequence[Logger],
    folder: Path,
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto",
    devices: PositiveInt | Annotated[list[int], Field(min_length=1)] = 1,
    precision: Precision = "auto",
    profiler: Literal["simple", "advanced", "pytorch"] | None = None,
    **lightning: Annotated[Any, Trainer],
) -> Trainer:
    """A Trainer for one stage.

    Args:
        max_epochs: From ``dae.epochs`` or ``classifier.epochs``.
        callbacks: In their order.
        logger: All that are logged to.
        folder: Of the stage.
        accelerator: ``auto`` is the best that is there.
        devices: How many, or a list with the indices of those to use; the processes are ``devices.py``'s.
        precision: ``auto`` is bf16-mixed where the device computes in bf16, else 32-true.
        profiler: Time the parts of the fit; printed at its end.
        **lightning: Any other argument of Lightning's Trainer that is not set here, with its own meaning.

    Raises:
        ValueError: The device is not there, or does not compute so.
    """
    device = device_type(accelerator)
    computed = best_precision(device) if precision == "auto" else precision
    if device == "cpu" and computed == "16-mixed":  # Lightning would take bf16 instead
        raise ValueError(f"precision={computed} is nothing that a CPU trains in: auto, 32-true, bf16-mixed")
    log.debug("Device: %s, precision: %s", device, computed)
    if not torch.cuda.is_available():
        # Torch looks for the driver in each step of Adam, a tenth of a step of stage 2, unless told not to.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if device_count({"devices": devices}) == 1:
        # Lightning takes a rank that a cluster has left in the environment for this run's, and logs nothing.
        cast(Any, rank_zero_only).rank = 0
        cast(Any, lightning)["strategy"] = "auto"
    own = [] if computed == "32-true" else [MixedTraining(cast(Any, computed), device)]
    trainer = Trainer(
        accelerator=device,
        devices=devices,
        precision=None if own else cast(Any, computed),
        # The environment is named, since under SLURM Lightning would take its tasks for processes of the run.
        plugins=[WholeCheckpoints(), *own, LightningEnvironment()],
        max_epochs=max_epochs,
        callbacks=list(callbacks),
        profiler=profiler or Unprofiled(),
        # False, not []: an empty list would be replaced by Lightning's default logger.
        logger=list(logger) or False,
        default_root_dir=folder,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in callbacks),
        use_distributed_sampler=False,  # each process draws its own share of a batch
        **lightning,
    )
    # Signals are for who launches the run. Lightning's own handler would wait for the other processes.
    cast(Any, trainer._signal_connector).register_signal_handlers = lambda: None
    return trainer


class Unprofiled(PassThroughProfiler):
    """No profiler: one context for every hook, where Lightning's makes a new one for each, some 80 a step."""

    _nothing = nullcontext()

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        """Do nothing."""
        return self._nothing


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole or not there, and plain values; Lightning's pass through $TMPDIR."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write it."""
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


def device_type(accelerator: str) -> Literal["cpu", "cuda", "mps"]:
    """The device that ``accelerator`` means on this machine.

    Raises:
        ValueError: It is not there.
    """
    known = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    there = [name for name, is_there in known.items() if is_there]
    meant = {"auto": there[:1], "gpu": [name for name in there if name != "cpu"]}
    found = meant.get(accelerator, [name for name in there if name == accelerator])
    if not found:
        raise ValueError(f"found accelerator={accelerator}, but this machine has {', '.join(there)}")
    return cast(Any, found[0])


def best_precision(device: str) -> Literal["bf16-mixed", "32-true"]:
    """The fastest precision to train in here: bf16 where the hardware computes in it."""
    if device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16-mixed"
    return "bf16-mixed" if device == "cpu" and torch.cpu._is_avx512_bf16_supported() else "32-true"
