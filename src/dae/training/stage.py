"""One stage: Trainer, loggers, callbacks, the fit, the checkpoint that counts, the test."""

from __future__ import annotations

import logging
import shlex
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import OmegaConf
from pytorch_lightning import Callback, LightningModule, Trainer, loggers
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import OutOfMemoryError

from dae.data.images import ImageDataModule
from dae.errors import TimeUp, UserError
from dae.files import write_json
from dae.metrics import Metric, is_telling, metrics_of
from dae.models.classifier import EncoderClassifier
from dae.runs.checkpoint import CheckpointError, read
from dae.runs.newest_checkpoint import newest_whole_checkpoint
from dae.runs.stage_result import StageResult
from dae.training.checkpointing import StageCheckpoint
from dae.training.divergence import StopOnDivergence
from dae.training.frozen import FrozenGuard
from dae.training.loggers import EndsWithStage, Status, TensorBoardLogger, keep_rows, result_scalars
from dae.training.progress import progress_callbacks
from dae.training.seeding import EpochSeed
from dae.training.signs import LearningSigns
from dae.training.steps import steps_in_words
from dae.training.summary import model_table
from dae.words import path_from_here

log = logging.getLogger(__name__)


def run_stage(
    module: LightningModule,
    data: ImageDataModule,
    *,
    folder: Path,
    seed: int,
    epochs: int,
    monitor: Metric | None,
    make_trainer: Callable[..., Trainer],
    make_loggers: Sequence[Callable[..., loggers.Logger]],
    callbacks: Sequence[Callback],
    config: dict[str, Any],
    shared: bool = False,
    pretrained: StageResult | None = None,
) -> StageResult:
    """Fit a module, find its best checkpoint and test that once; go on from its newest one if there is any.

    Args:
        module: Of stage 1 or stage 2.
        data: Set up already.
        folder: Of the stage.
        seed: The run's.
        epochs: 0 keeps the module as it is, measures and saves it.
        monitor: What decides the best epoch; None if nothing is chosen and the last one counts.
        make_trainer: ``trainer.build_trainer`` with the user's settings.
        make_loggers: Each is given the folder.
        callbacks: The user's.
        config: The run's hyperparameters.
        shared: Whether the stage is trained for several runs: then it is no row of HPARAMS.
        pretrained: Stage 1 if it was trained elsewhere: its results are logged here.
    """
    quiet_lightning()
    folder.mkdir(exist_ok=True)
    last = newest_whole_checkpoint(folder)
    started = time.perf_counter() - (last.seconds if last else 0)
    log.info("%s\n%s", type(module).__name__, model_table(module, _blank_images(data)))

    seconds = time.perf_counter() - started
    checkpoint = StageCheckpoint(folder, monitor, seconds)
    signs = LearningSigns(data)
    own = [EpochSeed(seed, str(module.stage)), StopOnDivergence(), signs, checkpoint]
    own += progress_callbacks(_left_out(str(module.stage), data, monitor))
    own += [FrozenGuard()] if isinstance(module, EncoderClassifier) else []
    with _told_if_refused():
        all_loggers = [make(save_dir=folder) for make in make_loggers]
    trainer = make_trainer(max_epochs=epochs, callbacks=[*callbacks, *own], logger=all_loggers, folder=folder)
    best, resumed = folder / "best.ckpt", last is not None
    status: Status = "failed"
    try:
        with _told_if_refused():
            for logger in all_loggers:
                _begin(logger, config, epochs=last.epochs if last else 0, shared=shared)
                if pretrained:
                    step = read(pretrained.checkpoint).epochs
                    logger.log_metrics(result_scalars(pretrained.metrics), step=step)
        if last:
            log.info("%s goes on after epoch %d", module.stage, last.epochs)
        batches = data.training_batches(world_size=trainer.world_size)
        limits = trainer.limit_train_batches, trainer.accumulate_grad_batches
        log.info("%s: %s", module.stage, steps_in_words(epochs, batches, *limits))
        with _told_if_unusable(last.path if last else best, checkpoint, resumed):
            trainer.fit(module, datamodule=data, ckpt_path=str(last.path) if last else None)
        pruned = checkpoint.stopped == "pruned"
        if epochs == 0:
            trainer.save_checkpoint(best)
        counted = read(best)
        measured: list[Mapping[str, float]] = [counted.metrics]
        if not counted.metrics:  # its epoch was not validated
            with _told_if_unusable(best, checkpoint, resumed):
                measured = [*trainer.validate(module, datamodule=data, ckpt_path=str(best), verbose=False)]
        if not pruned:
            with _told_if_unusable(best, checkpoint, resumed):
                measured += trainer.test(module, datamodule=data, ckpt_path=str(best), verbose=False)
            if trainer.is_global_zero:
                write_json(folder / "test.json", cast(dict[str, Any], module.tested))
        metrics = {name: value for part in measured for name, value in part.items() if name != "step"}
        validated = {name: value for name, value in metrics.items() if "/val/" in name}
        for logger in all_loggers:  # Lightning has logged the test
            logger.log_metrics(result_scalars(validated), step=counted.epochs)
        status = "completed"
        profile = trainer.profiler.summary()  # type: ignore[attr-defined]
        if profile:
            log.info("%s", profile)
    except MisconfigurationException as error:
        raise UserError(f"Lightning refuses what {module.stage} is to be trained with: {error}") from error
    except (KeyboardInterrupt, SystemExit, TimeUp):
        status = "interrupted"
        raise
    finally:
        for logger in all_loggers:
            if isinstance(logger, EndsWithStage):
                logger.close(status)
    why = f"best {monitor.name}" if monitor else "the last: nothing is chosen"
    log.info("%s: epoch %d counts (%s)", module.stage, counted.epochs, why)
    result = StageResult(
        metrics,
        best,
        time.perf_counter() - started,
        epochs,
        pruned=pruned,
        signs=signs.found(trainer, module),
    )
    if not pruned and trainer.is_global_zero:
        result.save()
    return result


@contextmanager
def _told_if_unusable(path: Path, checkpoint: StageCheckpoint, resumed: bool) -> Iterator[None]:
    """Blame what fails in a run that goes on, before its first batch, on the checkpoint that is restored.

    Lightning takes over the states of loops, callbacks and optimizers as they are.

    Raises:
        CheckpointError: They cannot be used.
    """
    checkpoint.works = not resumed
    try:
        yield
    except Exception as error:
        if checkpoint.works or isinstance(error, UserError | OutOfMemoryError | MisconfigurationException):
            raise
        name = path_from_here(path)
        raise CheckpointError(
            f"{name} cannot be gone on from: {type(error).__name__}: {error}\n"
            f"      without it the stage is trained again: rm {shlex.quote(name)}"
        ) from error


def _begin(logger: loggers.Logger, config: dict[str, Any], epochs: int, shared: bool) -> None:
    """Log the config; go on in what was logged until the checkpoint, with so many epochs behind it."""
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_text("config", f"```yaml\n{OmegaConf.to_yaml(config)}```")
        if shared:
            return
    elif isinstance(logger, loggers.CSVLogger):
        keep_rows(logger, epochs)
    logger.log_hyperparams(config)


@contextmanager
def _told_if_refused() -> Iterator[None]:
    """Tell in words why a logger cannot begin: its package, its account or its server are the user's.

    Raises:
        UserError: It cannot.
    """
    try:
        yield
    except (UserError, OSError):
        raise
    except Exception as error:
        raise UserError(f"a logger cannot begin: {type(error).__name__}: {error}") from error


def _left_out(stage: str, data: ImageDataModule, monitor: Metric | None) -> set[str]:
    """The metrics that say nothing on these images; not the one that was asked for."""
    names = {name for name in metrics_of([stage]) if not is_telling(name, data.pixel_accuracy_ceiling)}
    return names - {monitor.name} if monitor else names


def _blank_images(data: ImageDataModule) -> torch.Tensor:
    return torch.zeros(2, data.channels, data.image_size, data.image_size)


def quiet_lightning() -> None:
    """Silence what a user can do nothing about: tips, and warnings about what is done here on purpose."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*LeafSpec.*",  # torch's own, of Lightning
        ".*does not have many workers.*",  # batches are drawn by index, in this process
        ".*Checkpoint directory .* exists and is not empty.*",  # the logger is there first
        ".*Experiment logs directory .* exists and is not empty.*",
        ".*module.* in eval mode at the start of training.*",  # frozen blocks
        ".*could not find the monitored key.*",  # the epochs before the first validation
        ".*The number of training batches .* is smaller than the logging interval.*",
        ".*It is recommended to use .*sync_dist=True.*",  # the metrics have done it when they were computed
        ".*lr_scheduler.step\\(\\).* before .*optimizer.step\\(\\).*",  # 16-mixed skips its first steps
    ):
        warnings.filterwarnings("ignore", message=message)
