"""The checkpoints of a run measured again: on its own data or any other, under any noise.

What measures them is the LightningModules' own test, so the run's own test figures come out again.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer

from dae.config.building import build
from dae.config.compose import COMPOSITION_ERRORS, composed, explain
from dae.config.settings import schema_problems
from dae.data.image_folder import ImageFolderDataModule, all_images
from dae.data.image_set import Split
from dae.data.images import FeatureDataModule, ImageDataModule
from dae.errors import ConfigError, Problem, UserError, raise_problems
from dae.metrics import METRICS
from dae.models.autoencoder import DenoisingAutoencoder
from dae.models.classifier import EncoderClassifier
from dae.models.description import build_described
from dae.models.noise import Noise
from dae.report.intervals import interval_of
from dae.runs import checkpoint
from dae.runs.checkpoint import Checkpoint
from dae.runs.records import FILE
from dae.runs.resume import read_saved_config
from dae.schema import overlap
from dae.text import closest_name, first_few, path_from_here, pluralize, quoted_override
from dae.training.stage import quiet_lightning
from dae.use.models import run_of

Part = Literal["test", "val", "train"]
# The parts of a config that say something about an evaluation, and the group that each is chosen from.
PARTS = {"data": "data", "dae.noise": "dae/noise", "trainer": "trainer"}


@dataclass(frozen=True)
class Figure:
    """A measured metric.

    Attributes:
        value: None if it is not a number.
        interval: 95 % confidence interval over the images; None if there is none.
        how: The method of the interval, or why there is none.
    """

    value: float | None
    interval: tuple[float, float] | None
    how: str


@dataclass(frozen=True)
class Evaluation:
    """What was measured, of what, on what.

    Attributes:
        checkpoints: The file of each stage.
        data: The data in words.
        split: What of it was measured on.
        images: How many those are.
        noise: Class and arguments of that of ``noisy_loss``, ``psnr`` and ``ssim``; empty without stage 1.
        noise_given: Whether it is that of the words, and not the run's ``dae.reference_noise``.
        figures: By ``stage/split/metric``.
        notes: What has to be known to read them, a line each.
    """

    checkpoints: dict[str, str]
    data: str
    split: Part
    images: int
    noise: dict[str, Any]
    noise_given: bool
    figures: dict[str, Figure] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def evaluate(
    place: str | Path,
    words: Sequence[str] = (),
    *,
    split: Part = "test",
    allow_targets: Sequence[str] = (),
    config_dir: Path | None = None,
) -> Evaluation:
    """Measure the stages that a run has.

    Args:
        place: A run folder, a checkpoint or the folder of one stage, or a sweep, of which the winner counts.
        words: Hydra's, for the data, the noise and the trainer; what they leave out is as the run has had it.
        split: Which images of the data; of a folder of other images all are measured.
        allow_targets: Packages besides ours whose classes the run folder may name.
        config_dir: A folder with the user's own configs.

    Raises:
        ConfigError: The words, or what they come to, are refused; or the classes are others.
        UserError: A file cannot be read, or the images cannot be had.
    """
    sources = _checkpoints(run_of(place))
    first = next(iter(sources.values()))
    folders = [each for each in first.path.absolute().parents[:2] if (each / FILE).is_file()]
    begun = read_saved_config(folders[0], allow_targets, ("callbacks", "logger")) if folders else None
    cfg = _chosen_config(words, begun, first, config_dir)
    data, images, notes = _images(cfg, begun, split, words)
    stages, left_out = _with_labels(sources, data.classes)
    noise, described = _noise(stages, cfg, words, allow_targets)
    result = Evaluation(
        checkpoints={name: path_from_here(source.path) for name, source in stages.items()},
        data=str(data),
        split=split,
        images=len(images.labels),
        noise=described,
        noise_given=_is_about(words, "dae.noise"),
        notes=[*left_out, *notes],
    )
    quiet_lightning()
    limit = cfg.trainer.get(f"limit_{split}_batches", 1.0)
    alone = {"devices": 1, "limit_test_batches": limit, "profiler": None, "precision": "32-true"}
    trainer: Trainer = build({**cfg.trainer, **alone})(max_epochs=1, callbacks=[], logger=[], folder=Path())
    for name, source in stages.items():
        view = copy.copy(data)
        view.test = data.train_labelled if split == "train" and name == "classifier" else images
        module: DenoisingAutoencoder | EncoderClassifier
        if noise is not None and name == "dae":
            seed = source.hyper_parameters.get("noise_seed", cfg.data.split_seed)
            encoder, decoder, _ = checkpoint.load_autoencoder(source.path, allow_targets)
            module = DenoisingAutoencoder(encoder, decoder, noise, noise, seed, optimizer={}, scheduler={})
        else:
            encoder, head, _ = checkpoint.load_classifier(source.path, allow_targets)
            module = EncoderClassifier(encoder, head, trainable_blocks=0, optimizer={}, scheduler={})
            view = _as_features(view, module, source.classes)
        (metrics,) = trainer.test(module, datamodule=view, verbose=False)
        if (count := module.tested["images"]) != len(images.labels):  # labels or batches are limited
            result.notes.append(f"{name} is measured on {pluralize(count, 'image')}")
        for metric in METRICS[name]:
            measured = metrics[f"{name}/test/{metric}"]
            value = measured if math.isfinite(measured) else None
            figure = Figure(value, *interval_of(metric, value, module.tested))
            result.figures[f"{name}/{split}/{metric}"] = figure
    return result


def _checkpoints(place: Path) -> dict[str, Checkpoint]:
    """The checkpoint of each stage that is to be measured."""
    if found := [name for name in METRICS if (place / name / "best.ckpt").is_file()]:
        return {name: checkpoint.read(place, name) for name in found}
    source = checkpoint.read(place)  # a file, or the folder of a stage
    return {"classifier" if source.head is not None else "dae": source}


def _chosen_config(
    words: Sequence[str], begun: dict[str, Any] | None, source: Checkpoint, config_dir: Path | None
) -> DictConfig:
    """A checked config, of which only ``PARTS`` are meant; the images are made as the checkpoint's were.

    A part that is chosen anew (``data=digits``) is composed with ``conf/``, with all words about it; other
    words change what the run has begun with.

    Raises:
        ConfigError: With what is wrong with the words, or with what they come to.
    """
    if config_dir is not None and not config_dir.is_dir():
        raise ConfigError([Problem(f"--config-dir {config_dir}", "is no folder, expected one of configs")])
    try:
        overrides = OverridesParser.create().parse_overrides(list(words))
    except HydraException as error:
        raise explain(error, words) from error
    for override in overrides:
        text, key = str(override.input_line), override.key_or_group
        if override.is_sweep_override():
            raise ConfigError([Problem(text, "several values are several evaluations", "give one of them")])
        if override.is_delete() or not any(_is_about([text], part) for part in PARTS):
            what = f"says nothing of an evaluation; expected words for {', '.join(PARTS.values())}"
            meant = closest_name(key, PARTS.values())
            hint = f"try {quoted_override(meant, text.partition('=')[2])}" if meant else ""
            raise ConfigError([Problem(text, what, hint)])
    groups = {word.partition("=")[0] for word in words}
    if begun is None and "data" not in groups:
        what = "no run folder lies around this checkpoint, so that its data are not known"
        raise ConfigError([Problem("RUN", what, "say which: data=digits, say")])
    anew = [part for part, group in PARTS.items() if begun is None or group in groups]
    fresh_words = [word for word in words if any(_is_about([word], part) for part in anew)]
    cfg = OmegaConf.create(begun or {})
    try:
        fresh = composed(fresh_words, config_dir) if anew else cfg
    except COMPOSITION_ERRORS as error:
        raise explain(error, fresh_words) from error
    if begun is None:
        cfg = OmegaConf.create(cast(Any, OmegaConf.to_container(fresh, resolve=True)))
        cfg.callbacks, cfg.logger = {}, {}
    for part in anew:
        node = OmegaConf.to_container(OmegaConf.select(fresh, part), resolve=True)
        OmegaConf.update(cfg, part, node, merge=False, force_add=True)
    for override in overrides:
        if override.input_line not in fresh_words:
            OmegaConf.update(cfg, override.key_or_group, override.value(), force_add=True)
    for key, value in asdict(source.preprocessing).items():
        found = cfg.data.get(key)
        if f"data.{key}" in groups and key in ("image_size", "channels") and found != value:
            what = f"found {found}, but the network takes {value}"
            raise ConfigError([Problem(f"data.{key}", what, "leave it out: images are made to fit")])
        if key in cfg.data and f"data.{key}" not in groups:
            cfg.data[key] = value
    raise_problems(schema_problems(cast(Any, OmegaConf.to_container(cfg, resolve=True))))
    return cfg


def _is_about(words: Sequence[str], part: str) -> bool:
    """Whether one of the words is about a part: chooses it, or sets a value of it."""
    keys = (word.lstrip("+").partition("=")[0] for word in words)
    return any(key == PARTS[part] or (overlap(key, part) and len(key) >= len(part)) for key in keys)


def _images(
    cfg: DictConfig, begun: Mapping[str, Any] | None, split: Part, words: Sequence[str]
) -> tuple[ImageDataModule, Split, list[str]]:
    """The data, what of them is measured on, and what has to be known of that."""
    data: ImageDataModule = build(cfg.data)
    foreign = _is_about(words, "data")
    if foreign and isinstance(data, ImageFolderDataModule):
        found = all_images(data.root, data.preprocessing, data.bad_images)
        data.images, data.classes, images = found, found.classes, found.test
        data.train = data.val = data.test = data.train_labelled = images
        notes = [f"all {len(images.labels):,} images of {data.root}, whatever their split", *found.warnings]
    else:
        data.setup()
        assert data.images is not None
        images, notes = getattr(data, split), [*data.images.notes]
    return data, images, [*notes, *_trained_on(images, data, begun, foreign)]


def _trained_on(
    images: Split, data: ImageDataModule, begun: Mapping[str, Any] | None, foreign: bool
) -> Iterator[str]:
    """A line if some of the images are among those that the run was trained on, or if that is not known."""
    trained = data
    try:
        if begun is None:
            raise UserError("its run folder is not there")
        if foreign:
            trained = build(begun["data"])
            trained.setup()
    except (UserError, OSError):
        yield "whether the model was trained on these images is not known: its own are not there"
        return
    seen = {*trained.train.digests()}
    if count := sum(digest in seen for digest in images.digests()):
        total = pluralize(len(images.labels), "image")
        yield f"trained on {count:,} of these {total}: what is measured on them promises too much"


def _with_labels(
    sources: dict[str, Checkpoint], classes: Sequence[str]
) -> tuple[dict[str, Checkpoint], list[str]]:
    """The stages that the labels of these data allow, and what has to be known of it.

    Raises:
        ConfigError: The data have classes that the classifier does not know; or no labels, and there is no
            other stage.
    """
    if "classifier" not in sources:
        return sources, []
    rest = {name: source for name, source in sources.items() if name != "classifier"}
    known = sources["classifier"].classes
    if not classes and rest:
        return rest, ["the classifier is left out: these images have no labels"]
    strange = [name for name in classes if name not in known]
    if strange or not classes:
        found = f"the classes {first_few(strange)}" if strange else "no labels"
        what = f"found {found}, but the classifier knows {first_few(known)}"
        raise ConfigError([Problem("data", what, "an autoencoder needs none: try RUN/dae" if rest else "")])
    if tuple(classes) == known:
        return sources, []
    missing = [name for name in known if name not in classes]
    lacks = f"; there are none of class {first_few(missing)}" if missing else ""
    return sources, [f"classes are matched by their names{lacks}"]


def _noise(
    sources: dict[str, Checkpoint], cfg: DictConfig, words: Sequence[str], allow_targets: Sequence[str]
) -> tuple[Noise | None, dict[str, Any]]:
    """The noise to measure under, and its description: that of the words, or the checkpoint's reference."""
    if _is_about(words, "dae.noise"):
        if "dae" not in sources:
            what = "only an autoencoder is measured under a noise, and none is measured here"
            raise ConfigError([Problem("dae/noise", what, "leave it out")])
        described = cast(dict[str, Any], OmegaConf.to_container(cfg.dae.noise))
        noise: Noise = build(cfg.dae.noise)
        try:
            noise.corrupt(torch.zeros(1, 1, cfg.data.image_size, cfg.data.image_size))
        except ValueError as error:
            raise ConfigError([Problem("dae.noise", str(error))]) from error
        return noise, described
    if "dae" not in sources:
        return None, {}
    source = sources["dae"]
    described = dict(source.hyper_parameters.get("reference_noise") or {})
    return cast(Noise, build_described(source.path, "reference_noise", described, allow_targets)), described


def _as_features(data: ImageDataModule, module: EncoderClassifier, classes: Sequence[str]) -> ImageDataModule:
    """What a classifier is tested on: features of the images, and labels in the order of its classes."""
    order = torch.tensor([classes.index(name) for name in data.classes])
    data.test = Split(data.test.images, order[data.test.labels])
    return FeatureDataModule(data, module.frozen_part()) if module.frozen_blocks else data
