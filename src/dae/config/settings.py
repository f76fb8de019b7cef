"""Checks a composed config against the classes that are built from it, and reports all errors at once.

Signatures are the schema: a node with ``_target_`` is checked against the class or function that it names,
the others against the small dataclasses below (``binding.py``). The rules between keys follow (``rules.py``).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import Field, NonNegativeInt, PositiveInt
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers import Logger
from torch import nn

from dae.config import rules
from dae.config.auto import AUTO, KEYS, assume_auto, resolve_auto
from dae.config.binding import Binding
from dae.config.groups import interpolated_keys
from dae.config.paths import anchor_paths
from dae.data.images import ImageDataModule
from dae.data.sources import FOLDERS
from dae.errors import Problem, raise_problems
from dae.keys import leaves, overlap, select
from dae.models.noise import Noise
from dae.models.optimization import OptimizerFactory, ScheduleFactory
from dae.runs.saved_config import ADMITTED, read_saved_config, saved_problems
from dae.words import train_command


@dataclass
class DaeSettings:
    """Stage 1."""

    encoder: nn.Module
    decoder: nn.Module
    noise: Noise
    reference_noise: Noise
    optimizer: OptimizerFactory
    scheduler: ScheduleFactory
    epochs: NonNegativeInt
    warm_start: str | None
    share: bool


@dataclass
class ClassifierSettings:
    """Stage 2."""

    encoder: Literal["pretrained", "random", "none"]
    encoder_checkpoint: str | None
    trainable_blocks: NonNegativeInt | Literal["all"]
    hidden: PositiveInt | None
    optimizer: OptimizerFactory
    scheduler: ScheduleFactory
    epochs: NonNegativeInt
    choose: Literal["best", "last"]


@dataclass
class Settings:
    """The whole config."""

    stage: Literal["both", "dae", "classifier", "data"]
    seed: NonNegativeInt
    name: Annotated[str, Field(pattern=r"^[\w.-]+$")] | None
    pretraining: Literal["denoising", "plain", "none"]
    objective: str
    compare: str | None
    allow_targets: list[str]
    resume: None
    data: ImageDataModule
    dae: DaeSettings
    classifier: ClassifierSettings
    trainer: Callable[..., Trainer]
    callbacks: dict[str, Callback]
    logger: dict[str, Callable[..., Logger]]


_EPOCHS = "the epochs of a stage are its own: dae.epochs, classifier.epochs"
_OURS = "this project sets it itself"
# Arguments that cannot be given, and the message that says what to use instead.
MOVED = {
    **{f"trainer.{key}": _EPOCHS for key in ("max_epochs", "min_epochs", "max_steps", "min_steps")},
    "dae.decoder.latent_shape": "it is that of the encoder, found by passing images through it",
    "trainer.callbacks": "callbacks are a group: 'callbacks=[pictures,early_stopping]'",
    "trainer.logger": "loggers are a group: 'logger=[tensorboard,csv]'",
    "trainer.num_nodes": "a run has one machine; several share a sweep: -m hydra/launcher=submitit_slurm",
    "trainer.folder": "the folder is Hydra's: hydra.run.dir",
    "trainer.default_root_dir": "the folder is Hydra's: hydra.run.dir",
    "trainer.plugins": f"{_OURS}; the precision is trainer.precision",
    "trainer.enable_checkpointing": f"{_OURS}: without best.ckpt and last.ckpt no run has a result",
    "trainer.fast_dev_run": "a quick try is debug=smoke",
    "trainer.overfit_batches": "learning one batch by heart is debug=overfit",
    "trainer.barebones": f"{_OURS}: without checkpoints and metrics no run has a result",
    "trainer.num_sanity_val_steps": f"{_OURS}; a quick try is debug=smoke",
    "trainer.use_distributed_sampler": f"{_OURS}: each device draws its own share of a batch (trainer=ddp)",
    "trainer.reload_dataloaders_every_n_epochs": f"{_OURS}: the data stays; each epoch has its own order",
    "trainer.enable_progress_bar": f"{_OURS}: there is a bar where a terminal shows it",
    "trainer.enable_model_summary": f"{_OURS}: a table of the layers is in train.log",
}


def check_config(cfg: DictConfig, saved: bool = False, parts: Sequence[str] = ()) -> None:
    """Refuse a config with everything that is wrong with it.

    Args:
        cfg: The config.
        saved: Whether it comes from a run folder, whoever has written that: see ``check_saved_config``.
        parts: The key paths of what is used of it; all, where none are named.

    Raises:
        ConfigError: With all problems.
    """
    raise_problems(find_problems(cfg, saved, parts))


def check_saved_config(cfg: DictConfig) -> None:
    """Refuse a config from a run folder that is not what its classes take; nothing is looked up by it.

    It may name classes of ours, of ``torch.optim``, of Lightning, and of its ``allow_targets``, which
    whoever opens it has set.

    Raises:
        ConfigError: With all problems.
    """
    config = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    raise_problems(_binding(config, saved=True).problems(Settings))


def open_saved_config(
    folder: Path, allow_targets: Sequence[str], command: Callable[[Sequence[str]], str] | None = None
) -> DictConfig:
    """The config of a run folder, checked: whatever it names may be built.

    Callbacks and loggers are left out: only the run itself has them.

    Args:
        folder: The run's.
        allow_targets: Packages besides ours whose classes it may name.
        command: See ``saved_problems``.

    Raises:
        UserError: It is damaged, or names something else.
    """
    own = {"allow_targets": list(allow_targets), "callbacks": {}, "logger": {}}
    config = {**read_saved_config(folder), **own}
    raise_problems(saved_problems(config, folder, allow_targets, command))
    cfg = OmegaConf.create(config)
    check_saved_config(cfg)
    return cfg


def _binding(config: dict[str, Any], saved: bool) -> Binding:
    return Binding(config, MOVED, admitted=(ADMITTED, tuple(config["allow_targets"])) if saved else None)


def find_problems(cfg: DictConfig, saved: bool = False, parts: Sequence[str] = ()) -> list[Problem]:
    """Everything that can be known to be wrong before any data is read.

    Args:
        cfg: The config.
        saved: See ``check_config``.
        parts: See ``check_config``.
    """
    try:
        config = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        what = str(error).splitlines()[0]
        return [Problem(error.full_key or "config", what, f"see {train_command()} --cfg job")]
    cfg = assume_auto(resolve_auto(anchor_paths(cfg)))
    config = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    used = [path for path, _ in leaves(config) if not parts or any(overlap(path, part) for part in parts)]
    unused = [path for path, _ in leaves(config) if path not in used]
    problems = [each for each in _binding(config, saved).problems(Settings) if each.where not in unused]
    wrong = [problem.where for problem in problems]
    origins = _interpolations(OmegaConf.to_container(cfg, resolve=False))
    # A key that follows another, which is wrong itself, has nothing to add.
    problems = [each for each in problems if _at_origin(each, origins).where not in {*wrong} - {each.where}]
    told = [_or_auto(_at_origin(problem, origins), config) for problem in problems]
    # The arguments of a class that cannot be had have not been looked at.
    unchecked = [path.removesuffix("._target_") for path in (*wrong, *unused)]
    found = dict.fromkeys([*told, *rules.rule_problems(config, unchecked)])
    return [_unless_in_force(problem, config) for problem in found]


_ONE_OTHER_KEY = re.compile(r"\$\{(?:oc\.select:)?([\w.]+)(?:,[^${}]*)?\}")


def _interpolations(unresolved: Any) -> dict[str, str]:
    """The key that is meant to be set instead, of each whose value ``conf/`` takes from another.

    One that a user has made an interpolation himself is wrong itself.
    """
    found = {path: _ONE_OTHER_KEY.fullmatch(str(value)) for path, value in leaves(unresolved)}
    ours = interpolated_keys()
    return {
        path: match.group(1)
        for path, match in found.items()
        if match and (path.rpartition(".")[2], match.group()) in ours
    }


def _unless_in_force(problem: Problem, config: Mapping[str, Any]) -> Problem:
    """Leave out a proposal of what is there already."""
    try:
        words = [word.partition("=") for word in shlex.split(problem.hint)]
    except ValueError:
        return problem
    proposed = words[1:] if problem.hint.startswith("try ") else []
    same = [bool(equals) and str(select(config, key)) == value for key, equals, value in proposed]
    about_itself = problem.where in [key for key, *_ in proposed]  # and not what a misspelt key stands for
    return replace(problem, hint="") if about_itself and all(same) else problem


def _at_origin(problem: Problem, origins: Mapping[str, str]) -> Problem:
    """Move a problem of an interpolated value to the key where the value was set."""
    where = problem.where
    while where in origins:
        where = origins[where]
    return replace(problem, where=where, hint=problem.hint.replace(problem.where, where))


def _or_auto(problem: Problem, config: Mapping[str, Any]) -> Problem:
    """Add the word that is resolved before the config is checked, and so is none of the values there."""
    data = config.get("data")
    if problem.where in KEYS and isinstance(data, dict) and data.get("source") in FOLDERS:
        return replace(problem, what=f"{problem.what} or {AUTO!r}")
    return problem
