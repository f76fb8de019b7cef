"""One run as a story: check, stage 1, stage 2, result."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback
from torch import nn

from dae import metrics
from dae.config import arms, settings
from dae.config.auto import resolve_auto
from dae.config.building import build, decoder_node
from dae.config.commands import same_data_words
from dae.config.paths import anchor_paths
from dae.config.sizes import check_sizes
from dae.data.features import FeatureDataModule
from dae.data.images import ImageDataModule
from dae.errors import UserError
from dae.models.autoencoder import DenoisingAutoencoder
from dae.models.classifier import EncoderClassifier
from dae.models.networks import blocks_of
from dae.pictures.data_sheet import show_data
from dae.pictures.watcher import Watcher
from dae.runs import checkpoint, resume
from dae.runs.checkpoint_file import read_content
from dae.runs.closing import closing_summary
from dae.runs.record import RunRecord, git_state, write_run_json
from dae.runs.records import read_hydra
from dae.runs.saved_config import write_saved_config
from dae.runs.stage_result import StageResult, discard_stage, finished_stage
from dae.seeds import seed_all
from dae.sweeps import shared
from dae.training.memory import release_memory
from dae.training.processes import followers, is_follower
from dae.training.pruning import Pruning
from dae.training.stage import run_stage
from dae.words import counted, path_from_here

if TYPE_CHECKING:  # an extra
    from optuna.trial import Trial

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What both stages need of a run: its config and data, what it is judged by, who else watches it."""

    cfg: DictConfig
    data: ImageDataModule
    objective: metrics.Metric
    watchers: Sequence[Callback]
    shared: bool = False  # whether what is trained belongs to several jobs of a sweep


def run(
    cfg: DictConfig,
    folder: Path,
    command: str,
    *,
    extended: bool = False,
    sweep: Path | None = None,
    trial: Trial | None = None,
) -> float | None:
    """Train the stages that ``cfg.stage`` names and return the objective of the checkpoint that counts.

    A run that has begun in ``folder`` goes on; one that has ended is taken as it is. ``stage=data`` shows the
    data instead, and returns None.

    Args:
        cfg: The composed config.
        folder: The run folder.
        command: What was typed, for the record.
        extended: Whether ``cfg`` is the folder's own config, with more epochs perhaps.
        sweep: The sweep's folder, if the run is a job of one.
        trial: The run's trial, if it belongs to a search, which may end it early.

    Raises:
        UserError: Something the user can mend; ``ConfigError`` if it is in ``cfg``.
    """
    if extended:
        settings.check_saved_config(cfg)  # before anything is looked up by it
    cfg = resolve_auto(anchor_paths(cfg))
    value = resume.finished_objective(cfg, folder, extended)
    if value is not None:
        for file in folder.glob("*/best.ckpt"):
            read_content(file)  # damage of what is taken as it is is told
        return value
    pretrained = None
    with RunRecord(folder) as record:
        settings.check_config(cfg, saved=extended)
        hydra = read_hydra(folder / ".hydra" / "hydra.yaml")
        if cfg.stage == "data":
            show_data(open_data(cfg, folder, command), plain(cfg), folder, same_data_words(plain(cfg), hydra))
            return None
        stages = arms.stages_to_run(cfg)
        objective = record.objective = judged_by(cfg)
        watchers = [Pruning(trial, objective.name)] if trial else []

        plan = Plan(cfg, open_data(cfg, folder, command), objective, watchers)
        if "dae" in stages:
            # What a search may give up is nobody else's.
            own = trial is not None and objective.name.startswith("dae/")
            if sweep and cfg.dae.share and "classifier" in stages and not own:
                digest = shared.stage1_digest(plain(cfg), git_state())
                place = shared.stage1_folder(sweep, folder, digest)
                train = partial(train_autoencoder, replace(plan, shared=True))
                pretrained = shared.shared_stage(place, folder, train)
            else:
                pretrained = train_autoencoder(plan, folder)
            record.add_stage("dae", pretrained)
            release_memory()
            if not pretrained.taken:
                discard_stage(folder / "classifier")
        elif cfg.stage == "both":
            why = "pretraining=none" if cfg.pretraining == "none" else "this classifier does not use it"
            log.info("Stage 1 is skipped: %s", why)
        if "classifier" in stages and not record.pruned:
            record.add_stage("classifier", train_classifier(plan, folder, pretrained))

        same_data = same_data_words(plain(cfg), hydra, labelled=bool(plan.data.classes))
        log.info("%s", closing_summary(record, stages, [*arms.arm_words(cfg), *same_data]))
        return record.value


def open_data(cfg: DictConfig, folder: Path, command: str) -> ImageDataModule:
    """Read and split the data, and write down what is run on it."""
    data: ImageDataModule = build(cfg.data)
    data.setup()
    check_sizes(cfg, data)
    log.info("Run folder: %s", path_from_here(folder))
    log.info("Data: %s", data)
    write_run_json(folder, command, data)
    write_saved_config(folder, cfg)
    return data


def follow(cfg: DictConfig, folder: Path, stage: str) -> None:
    """Take part in a stage of a run that another process leads (``processes.py``).

    Args:
        cfg: The run's config.
        folder: Where the stage's own folder lies.
        stage: ``dae`` or ``classifier``.
    """
    data: ImageDataModule = build(cfg.data)
    data.setup()
    plan = Plan(cfg, data, judged_by(cfg), watchers=[])
    train = {"dae": train_autoencoder, "classifier": train_classifier}
    train[stage](plan, folder)


def train_autoencoder(plan: Plan, folder: Path) -> StageResult:
    """Stage 1: learn to reconstruct the clean image."""
    cfg, data = plan.cfg, plan.data
    result = finished_stage(folder / "dae", cfg.dae.epochs)
    if result is not None:
        return result
    config = plain(cfg)
    encoder = new_encoder(cfg)
    decoder = decoder_node(config["dae"]["decoder"], latent_shape(encoder, data))
    seed_all(cfg.seed, "decoder")
    autoencoder = DenoisingAutoencoder(
        encoder=encoder,
        decoder=build(decoder),
        noise=build(arms.training_noise(cfg)),
        reference_noise=build(cfg.dae.reference_noise),
        noise_seed=cfg.data.split_seed,
        optimizer=build(cfg.dae.optimizer),
        scheduler=build(cfg.dae.scheduler),
    )
    if cfg.dae.warm_start is not None:
        log.info("Warm start from %s", checkpoint.warm_start(autoencoder, cfg.dae.warm_start))
    described = {**config["dae"], "decoder": decoder, "noise": arms.training_noise(config)}
    described["noise_seed"] = cfg.data.split_seed
    origin = {"pretraining": arms.pretraining_word(cfg), **origin_of(data, folder)}
    autoencoder.save_hyperparameters({**described, **origin}, logger=False)
    return fit(plan, autoencoder, data, folder)


def train_classifier(plan: Plan, folder: Path, pretrained: StageResult | None = None) -> StageResult:
    """Stage 2: learn to classify what the encoder says, as much of it frozen as is asked for."""
    cfg, data = plan.cfg, plan.data
    result = finished_stage(folder / "classifier", cfg.classifier.epochs)
    if result is not None:
        return result
    encoder, described = choose_encoder(cfg, folder)
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
    own = {"head": head, "classes": list(data.classes), **origin_of(data, folder)}
    classifier.save_hyperparameters({**plain(cfg.classifier), **described, **own}, logger=False)
    data = data.labelled()
    if classifier.frozen_blocks:
        content = checkpoint.content_hash(classifier.frozen_tensors())
        data = FeatureDataModule(data, classifier.frozen_part(), content)
    return fit(plan, classifier, data, folder, pretrained)


def choose_encoder(cfg: DictConfig, folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The encoder that ``classifier.encoder`` asks for, and what its checkpoint says of it."""
    if cfg.classifier.encoder == "none":
        return nn.Identity(), {"encoder": None, "pretraining": "none"}
    if not arms.uses_pretrained(cfg):
        if cfg.classifier.encoder_checkpoint is not None:
            log.info("classifier.encoder_checkpoint is not read: pretraining=none")
        return new_encoder(cfg), {"encoder": plain(cfg.dae.encoder), "pretraining": "none"}
    place, allowed = cfg.classifier.encoder_checkpoint, list(cfg.allow_targets)
    if place is None:  # what this command names itself, its own stage 1 may name
        place, allowed = folder, [*allowed, cfg.dae.encoder._target_.rpartition(".")[0]]
    encoder, source = checkpoint.load_encoder(place, allowed)
    tensors = encoder.state_dict()
    log.info("Encoder: %s, sha256 %.12s", counted(len(tensors), "tensor"), checkpoint.content_hash(tensors))
    log.info("  loaded from %s", source)
    return encoder, {"encoder": source.hyper_parameters["encoder"], "pretraining": source.pretraining}


def origin_of(data: ImageDataModule, folder: Path) -> dict[str, Any]:
    """What a checkpoint says of where it comes from: how its images were made, and which run made it."""
    return {"preprocessing": data.preprocessing.described(), "run": folder.name}


def latent_shape(encoder: nn.Module, data: ImageDataModule) -> tuple[int, ...]:
    """The shape of the latent of one image.

    Raises:
        UserError: Its latents are NaN or infinite; or it does more than to apply its blocks, so that they
            cannot be frozen one by one.
    """
    images = torch.rand(2, data.channels, data.image_size, data.image_size)
    training = encoder.training
    encoder.eval()  # a pass in training mode would change the buffers of what is to be frozen
    with torch.no_grad():
        latents = encoder(images)
        if not latents.isfinite().all():
            raise UserError(
                f"the {type(encoder).__name__} makes NaN or infinite latents of images: the training of its "
                "weights has diverged. Take another checkpoint, or train with a smaller learning rate"
            )
        blocks = blocks_of(encoder)
        if blocks != [encoder] and not torch.equal(nn.Sequential(*blocks)(images), latents):
            raise UserError(
                f"{type(encoder).__name__}.forward is not its blocks, one after the other, so they cannot be "
                "frozen one by one. Make what it does besides a part of a block, or give blocks another "
                "name: then it is frozen or trained as a whole"
            )
    encoder.train(training)
    return tuple(latents.shape[1:])


def new_encoder(cfg: DictConfig) -> nn.Module:
    """An untrained encoder: for ``classifier=random`` the one that stage 1 of this seed starts from."""
    seed_all(cfg.seed, "encoder")
    return build(cfg.dae.encoder)


def fit(
    plan: Plan,
    module: DenoisingAutoencoder | EncoderClassifier,
    data: ImageDataModule,
    folder: Path,
    pretrained: StageResult | None = None,
) -> StageResult:
    """Hand a module over to its stage, with everything of the config that belongs to it."""
    cfg = plan.cfg
    callbacks = [build(node) for node in cfg.callbacks.values()]
    loggers = [build(node) for node in cfg.logger.values()]
    if is_follower():
        callbacks, loggers = [callback for callback in callbacks if not isinstance(callback, Watcher)], []
    with followers(follow, cfg, folder, module.stage):
        return run_stage(
            module,
            data,
            folder=folder / module.stage,
            seed=cfg.seed,
            epochs=cfg[module.stage].epochs,
            monitor=decides(plan, module.stage),
            make_trainer=build(cfg.trainer),
            make_loggers=loggers,
            callbacks=[*callbacks, *plan.watchers],
            config=plain(cfg),
            shared=plan.shared,
            pretrained=pretrained if pretrained and pretrained.shared_from else None,
        )


def judged_by(cfg: DictConfig) -> metrics.Metric:
    """The metric that the run is judged by."""
    stages, denoising = arms.stages_to_run(cfg), arms.is_denoising(cfg)
    return metrics.objective(cfg.objective, stages, denoising, cfg.callbacks)


def decides(plan: Plan, stage: str) -> metrics.Metric | None:
    """The metric that decides which epoch of a stage counts; None if nothing is chosen."""
    cfg = plan.cfg
    if cfg.data.validation == "test" or (stage == "classifier" and cfg.classifier.choose == "last"):
        return None
    return metrics.monitor(stage, plan.objective, arms.is_denoising(cfg))


def plain(node: DictConfig) -> Any:
    """Plain values, so that ``torch.load(weights_only=True)`` opens what holds them."""
    return OmegaConf.to_container(node, resolve=True)
