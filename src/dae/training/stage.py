"""One stage: Trainer, loggers, callbacks, the fit, the checkpoint that counts, the test."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, Trainer
from pytorch_lightning import loggers as lightning_loggers
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from pytorch_lightning.utilities.model_summary import ModelSummary
from torch import Tensor

from dae.data.images import ImageDataModule
from dae.errors import UserError, with_place
from dae.files import write_json
from dae.metrics import Metric
from dae.models.classifier import EncoderClassifier
from dae.models.epoch_metrics import MeasuredModule
from dae.runs.checkpoint import Checkpoint, content_hash, newest_checkpoint, read
from dae.runs.record import StageResult
from dae.training import loggers
from dae.training.callbacks import EpochSeed, StageCheckpoint, StopOnDivergence, progress_callbacks
from dae.training.signs import LearningSigns

log = logging.getLogger(__name__)


def run_stage(
    module: MeasuredModule,
    data: ImageDataModule,
    *,
    folder: Path,
    seed: int,
    epochs: int,
    monitor: Metric | None,
    make_trainer: Callable[..., Trainer],
    make_loggers: Sequence[Callable[..., lightning_loggers.Logger]],
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
    resumed = newest_checkpoint(folder)
    started = time.perf_counter() - (resumed.seconds if resumed else 0)
    log.debug("%s\n%s", type(module).__name__, ModelSummary(module, max_depth=-1))
    checkpoint = StageCheckpoint(folder, monitor, time.perf_counter() - started)
    signs = LearningSigns(data)
    own: list[Callback] = [EpochSeed(seed, module.stage), StopOnDivergence(), signs, checkpoint]
    own += progress_callbacks()
    frozen = _frozen_hash(module, module.state_dict())
    stage_loggers = [_made(make, folder) for make in make_loggers]
    trainer = make_trainer(
        max_epochs=epochs, callbacks=[*callbacks, *own], logger=stage_loggers, folder=folder
    )
    status: loggers.Status = "failed"
    try:
        for logger in stage_loggers:
            loggers.begin(logger, config, resumed.epochs if resumed else 0, shared)
            if pretrained:
                scalars = loggers.result_scalars(pretrained.metrics)
                logger.log_metrics(scalars, step=read(pretrained.checkpoint).epochs)
        if resumed:
            log.info("%s goes on after epoch %d", module.stage, resumed.epochs)
        limits = trainer.limit_train_batches, trainer.accumulate_grad_batches
        steps = data.count_batches(trainer.world_size).steps_in_words(epochs, *limits)
        log.info("%s: %s", module.stage, steps)
        trainer.fit(module, datamodule=data, ckpt_path=str(checkpoint.last) if resumed else None)
        if epochs == 0:
            trainer.save_checkpoint(checkpoint.best)
        found = read(checkpoint.best)
        _check_frozen(module, frozen, found)
        metrics = _measure(trainer, module, data, checkpoint, found)
        status = "completed"
    except MisconfigurationException as error:
        raise UserError(f"Lightning refuses what {module.stage} is to be trained with: {error}") from error
    except (KeyboardInterrupt, SystemExit):
        status = "interrupted"
        raise
    finally:
        for logger in stage_loggers:
            loggers.end(logger, status)
    why = f"best {monitor.name}" if monitor else "the last: nothing is chosen"
    log.info("%s: epoch %d counts (%s)", module.stage, found.epochs, why)
    pruned, seconds = checkpoint.stopped == "pruned", time.perf_counter() - started
    learned = signs.found(trainer, module)
    result = StageResult(metrics, checkpoint.best, seconds, epochs, pruned=pruned, signs=learned)
    if not pruned and trainer.is_global_zero:
        result.save()
    return result


def _frozen_hash(module: MeasuredModule, tensors: Mapping[str, Tensor]) -> str:
    names = module.frozen_tensors() if isinstance(module, EncoderClassifier) else {}
    return content_hash({name: tensors[name] for name in names})


def _check_frozen(module: MeasuredModule, before: str, found: Checkpoint) -> None:
    """Hold the frozen tensors of the checkpoint that counts to what they were before the stage.

    Raises:
        UserError: The hash differs.
    """
    after = _frozen_hash(module, found.tensors)
    log.debug("Frozen tensors: sha256 %.12s before the fit, %.12s after", before, after)
    if after != before:
        raise UserError(
            f"frozen tensors changed during the fit: sha256 {before} before, {after} after. Which of the "
            "callbacks writes weights, as EMAWeightAveraging does? Leave it out of stage 2, or have nothing "
            "frozen: classifier.trainable_blocks=all"
        )


def _measure(
    trainer: Trainer,
    module: MeasuredModule,
    data: ImageDataModule,
    checkpoint: StageCheckpoint,
    found: Checkpoint,
) -> dict[str, float]:
    """Validation and test metrics of the checkpoint that counts; a trial that was given up has no test."""
    best = str(checkpoint.best)
    measured: list[Mapping[str, float]] = [found.metrics]
    if not found.metrics:  # its epoch was not validated
        measured = [*trainer.validate(module, datamodule=data, ckpt_path=best, verbose=False)]
    if checkpoint.stopped != "pruned":
        measured += trainer.test(module, datamodule=data, ckpt_path=best, verbose=False)
        if trainer.is_global_zero:
            write_json(checkpoint.best.with_name("test.json"), module.tested)
    metrics = {name: value for part in measured for name, value in part.items() if name != "step"}
    validated = {name: value for name, value in metrics.items() if "/val/" in name}
    for logger in trainer.loggers:  # Lightning has logged the test
        logger.log_metrics(loggers.result_scalars(validated), step=found.epochs)
    if profile := trainer.profiler.summary():  # type: ignore[attr-defined]
        log.info("%s", profile)
    return metrics


def _made(make: Callable[..., lightning_loggers.Logger], folder: Path) -> lightning_loggers.Logger:
    """A logger of the stage.

    Raises:
        UserError: It cannot begin: its package, its account or its server are the user's.
    """
    try:
        return make(save_dir=folder)
    except Exception as error:
        raise UserError(f"a logger cannot begin: {with_place(error)}") from error


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
