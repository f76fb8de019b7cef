"""One run as a story: check, stage 1, stage 2, result."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback
from torch import nn

from dae.config import preflight, settings
from dae.config.building import build, latent_shape, with_sizes
from dae.data.images import FeatureDataModule, ImageDataModule
from dae.models.autoencoder import DenoisingAutoencoder
from dae.models.classifier import EncoderClassifier
from dae.pictures.data_sheet import show_data
from dae.pictures.drawing import Watcher
from dae.runs import checkpoint, resume
from dae.runs.record import RunRecord, StageResult, discard_stage, finished_stage, git_state, write_run_json
from dae.seeds import seed_all
from dae.sweeps import shared
from dae.text import path_from_here
from dae.training.callbacks import Pruning
from dae.training.devices import is_worker, workers
from dae.training.machine import release_memory
from dae.training.stage import run_stage

if TYPE_CHECKING:  # an extra
    from optuna.trial import Trial

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunContext:
    """What both stages need of a run: its config and data, who else watches it."""

    cfg: DictConfig
    data: ImageDataModule
    watchers: Sequence[Callback] = ()
    shared: bool = False  # whether what is trained belongs to several jobs of a sweep


def run(
    cfg: DictConfig,
    folder: Path,
    command: str,
    *,
    words: Sequence[str] = (),
    sweep: Path | None = None,
    trial: Trial | None = None,
) -> float | None:
    """Train the stages that ``cfg.stage`` names and return the objective of the checkpoint that counts.

    A run that has begun in ``folder`` goes on; one that has ended is taken as it is. ``stage=data`` shows the
    data instead, and returns None.

    Args:
        cfg: The composed config, or the one of a run that goes on.
        folder: The run folder.
        command: What was typed, for the record.
        words: The overrides that were typed; none for a run that goes on.
        sweep: The sweep's folder, if the run is a job of one.
        trial: The run's trial, if it belongs to a search, which may end it early.

    Raises:
        UserError: Something the user can mend; ``ConfigError`` if it is in ``cfg``.
    """
    cfg = preflight.with_saved_data(cfg, list(words))
    if words:  # before anything is written: what lies there may be another run
        resume.refuse_other_run(cfg, folder)
    value = resume.finished_objective(cfg, folder)
    if value is not None:
        return value
    with RunRecord(folder) as record:
        cfg = preflight.resolve_auto(cfg)
        preflight.check_config(cfg)
        log.info("Run folder: %s", path_from_here(folder))
        data = open_data(cfg, folder, command)
        if cfg.stage == "data":
            show_data(data, plain(cfg), folder, [word for word in words if word != "stage=data"])
            return None
        stages = settings.stages_to_run(cfg)
        objective = record.objective = settings.objective_of(cfg)
        context = RunContext(cfg, data, [Pruning(trial, objective.name)] if trial else [])
        pretrained = None
        if "dae" in stages:
            # A search may prune this stage 1, so that no other job can share it.
            own = trial is not None and objective.name.startswith("dae/")
            if sweep and cfg.dae.share and "classifier" in stages and not own:
                place = shared.stage1_folder(sweep, folder, shared.stage1_digest(plain(cfg), git_state()))
                train = partial(train_autoencoder, replace(context, shared=True))
                pretrained = shared.shared_stage(place, folder, train)
            else:
                pretrained = train_autoencoder(context, folder)
            record.add_stage("dae", pretrained)
            release_memory()
            if not pretrained.reused:
                discard_stage(folder / "classifier")
        elif cfg.stage == "both":
            log.info("Stage 1 is skipped: this classifier does not use it")
        if "classifier" in stages and not record.pruned:
            record.add_stage("classifier", train_classifier(context, folder, pretrained))
        more = [*settings.arm_words(cfg), *resume.admission(plain(cfg))]
        log.info("%s", record.summary(more, has_encoder="dae" in stages))
        return record.value


def open_data(cfg: DictConfig, folder: Path, command: str) -> ImageDataModule:
    """Read and split the data, and write down what is run on it."""
    data: ImageDataModule = build(cfg.data)
    data.setup()
    preflight.check_data(cfg, data)
    log.info("Data: %s", data)
    write_run_json(folder, command, data)
    resume.write_saved_config(folder, cfg)
    return data


def work(cfg: DictConfig, folder: Path, stage: str) -> None:
    """Take part in a stage of a run that another process leads (``devices.py``).

    Args:
        cfg: The run's config.
        folder: Where the stage's own folder lies.
        stage: ``dae`` or ``classifier``.
    """
    data: ImageDataModule = build(cfg.data)
    data.setup()
    {"dae": train_autoencoder, "classifier": train_classifier}[stage](RunContext(cfg, data), folder)


def train_autoencoder(context: RunContext, folder: Path) -> StageResult:
    """Stage 1: learn to reconstruct the clean image."""
    cfg, data = context.cfg, context.data
    result = finished_stage(folder / "dae", cfg.dae.epochs)
    if result is not None:
        return result
    config = plain(cfg)
    encoder, encoder_node = new_encoder(context)
    decoder_node = sized(context, config["dae"]["decoder"], latent_shape=list(latent_shape(encoder, data)))
    seed_all(cfg.seed, "decoder")
    autoencoder = DenoisingAutoencoder(
        encoder=encoder,
        decoder=build(decoder_node),
        noise=build(settings.training_noise(cfg)),
        reference_noise=build(cfg.dae.reference_noise),
        noise_seed=cfg.data.split_seed,
        optimizer=build(cfg.dae.optimizer),
        scheduler=build(cfg.dae.scheduler),
    )
    if cfg.dae.warm_start is not None:
        log.info("Warm start from %s", checkpoint.warm_start(autoencoder, cfg.dae.warm_start))
    described = {**config["dae"], "encoder": encoder_node, "decoder": decoder_node}
    described |= {"noise": settings.training_noise(config), "noise_seed": cfg.data.split_seed}
    described["pretraining"] = settings.pretraining_word(cfg)
    autoencoder.save_hyperparameters({**described, **provenance(data, folder)}, logger=False)
    return fit(context, autoencoder, data, folder)


def train_classifier(context: RunContext, folder: Path, pretrained: StageResult | None = None) -> StageResult:
    """Stage 2: learn to classify what the encoder says, as much of it frozen as is asked for."""
    cfg, data = context.cfg, context.data
    result = finished_stage(folder / "classifier", cfg.classifier.epochs)
    if result is not None:
        return result
    encoder, described = choose_encoder(context, folder)
    head = {"_target_": "dae.models.networks.ClassifierHead", "hidden": cfg.classifier.hidden}
    head |= {"features": math.prod(latent_shape(encoder, data)), "classes": len(data.classes)}
    # Seeded apart from the encoder: the head starts from the same weights whatever stands before it.
    seed_all(cfg.seed, "head")
    classifier = EncoderClassifier(
        encoder=encoder,
        head=build(head),
        trainable_blocks=cfg.classifier.trainable_blocks,
        optimizer=build(cfg.classifier.optimizer),
        scheduler=build(cfg.classifier.scheduler),
    )
    own = {"head": head, "classes": list(data.classes), **provenance(data, folder)}
    classifier.save_hyperparameters({**plain(cfg.classifier), **described, **own}, logger=False)
    data = data.labelled()
    if classifier.frozen_blocks:
        data = FeatureDataModule(data, classifier.frozen_part())
    return fit(context, classifier, data, folder, pretrained)


def choose_encoder(context: RunContext, folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The encoder that ``classifier.encoder`` asks for, and what its checkpoint says of it."""
    cfg = context.cfg
    if cfg.classifier.encoder == "none":
        return nn.Identity(), {"encoder": None, "pretraining": "none"}
    if not settings.uses_pretrained(cfg):
        encoder, node = new_encoder(context)
        return encoder, {"encoder": node, "pretraining": "none"}
    place, allowed = cfg.classifier.encoder_checkpoint, list(cfg.allow_targets)
    if place is None:  # what this command names itself, its own stage 1 may name
        place, allowed = folder, [*allowed, cfg.dae.encoder._target_.rpartition(".")[0]]
    encoder, source = checkpoint.load_encoder(place, allowed)
    log.debug("Encoder: sha256 %.12s", checkpoint.content_hash(encoder.state_dict()))
    log.info("Encoder loaded from %s", source)
    return encoder, {"encoder": source.encoder, "pretraining": source.pretraining}


def provenance(data: ImageDataModule, folder: Path) -> dict[str, Any]:
    """What a checkpoint says of where it comes from: how its images were made, and which run made it."""
    return {"preprocessing": data.preprocessing.described(), "run": folder.name}


def new_encoder(context: RunContext) -> tuple[nn.Module, dict[str, Any]]:
    """An untrained encoder and its description: that which stage 1 of this seed starts from."""
    node = sized(context, plain(context.cfg.dae.encoder))
    seed_all(context.cfg.seed, "encoder")
    return build(node), node


def sized(context: RunContext, node: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The description of a network for the images of this run."""
    return with_sizes(node, context.data.image_size, context.data.channels, **more)


def fit(
    context: RunContext,
    module: DenoisingAutoencoder | EncoderClassifier,
    data: ImageDataModule,
    folder: Path,
    pretrained: StageResult | None = None,
) -> StageResult:
    """Hand a module over to its stage, with everything of the config that belongs to it."""
    cfg = context.cfg
    callbacks = [build(node) for node in cfg.callbacks.values()]
    loggers = [build(node) for node in cfg.logger.values()]
    if is_worker():
        callbacks, loggers = [callback for callback in callbacks if not isinstance(callback, Watcher)], []
    with workers(work, cfg, folder, module.stage):
        return run_stage(
            module,
            data,
            folder=folder / module.stage,
            seed=cfg.seed,
            epochs=cfg[module.stage].epochs,
            monitor=settings.monitor_for(cfg, module.stage),
            make_trainer=build(cfg.trainer),
            make_loggers=loggers,
            callbacks=[*callbacks, *context.watchers],
            config=plain(cfg),
            shared=context.shared,
            pretrained=pretrained if pretrained and pretrained.shared_from else None,
        )


def plain(node: DictConfig) -> Any:
    """Plain values, so that ``torch.load(weights_only=True)`` opens what holds them."""
    return OmegaConf.to_container(node, resolve=True)
