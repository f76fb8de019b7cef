"""The checkpoints of a run measured again: on its own data or any other, under any noise.

What measures them is the LightningModules' own test, so the run's own test figures come out again.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer

from dae.config.building import build
from dae.config.evaluated import chosen_config, says
from dae.config.settings import open_saved_config
from dae.data.features import FeatureDataModule
from dae.data.image_set import Split
from dae.data.images import ImageDataModule
from dae.data.overlap import image_digests
from dae.data.preprocessing import Preprocessing
from dae.data.sources import FOLDERS, GROUND
from dae.errors import CheckpointError, ConfigError, Problem, UserError
from dae.metrics import METRICS
from dae.models.autoencoder import DenoisingAutoencoder
from dae.models.classifier import EncoderClassifier
from dae.models.description import build_described
from dae.models.noise import Noise
from dae.report.intervals import interval_of
from dae.runs import checkpoint
from dae.runs.checkpoint import Checkpoint
from dae.runs.records import read_hydra
from dae.training.stage import quiet_lightning
from dae.use.winner import run_of
from dae.words import counted, first_few, path_from_here

Part = Literal["test", "val", "train"]


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
    stage: str | None = None,
    allow_targets: Sequence[str] = (),
    config_dir: Path | None = None,
    command: Callable[[Sequence[str]], str] | None = None,
) -> Evaluation:
    """Measure the stages that a run has.

    Args:
        place: A run folder, a checkpoint, or the folder of a sweep, of which the winner counts.
        words: Hydra's, for the data, the noise and the trainer; what they leave out is as the run has had it.
        split: Which images of the data.
        stage: The one to measure; None for all that can be.
        allow_targets: Packages besides ours whose classes the run folder may name.
        config_dir: A folder with the user's own configs.
        command: See ``saved_config.saved_problems``.

    Raises:
        ConfigError: The words, or what they come to, are refused; or the classes are others.
        UserError: A file cannot be read, or the images cannot be had.
    """
    sources = _checkpoints(run_of(place), stage)
    first = next(iter(sources.values()))
    folder = next(
        (each for each in first.path.absolute().parents[:2] if (each / "config.yaml").is_file()), None
    )
    begun = None if folder is None else open_saved_config(folder, allow_targets, command)
    if folder is not None and begun is not None:
        _find_again(begun.data, folder)
    cfg = chosen_config(words, begun, _preprocessing(first, begun), split, config_dir)
    data: ImageDataModule = build(cfg.data)
    data.setup()
    images = {"test": data.test, "val": data.val, "train": data.train}[split]
    stages, left_out = _with_labels(sources, data, asked=stage is not None)
    noise, described = _noise(stages, cfg, words, allow_targets)
    result = Evaluation(
        checkpoints={name: path_from_here(source.path) for name, source in stages.items()},
        data=str(data),
        split=split,
        images=len(images.labels),
        noise=described,
        noise_given=says(words, "dae.noise"),
        notes=[*left_out, *(data.images.notes if data.images else ())],
    )
    result.notes.extend(_trained_on(images, data, begun, cfg, own=not says(words, "data")))
    quiet_lightning()
    trainer: Trainer = build(cfg.trainer)(max_epochs=1, callbacks=[], logger=[], folder=Path())
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
            result.notes.append(f"{name} is measured on {counted(count, 'image')}")
        for metric in METRICS[name]:
            measured = metrics[f"{name}/test/{metric}"]
            value = measured if math.isfinite(measured) else None
            figure = Figure(value, *interval_of(metric, value, module.tested))
            result.figures[f"{name}/{split}/{metric}"] = figure
    return result


def _checkpoints(place: Path, stage: str | None) -> dict[str, Checkpoint]:
    """The checkpoint of each stage that is to be measured."""
    found = [name for name in METRICS if (place / name / "best.ckpt").is_file()]
    if found and (stage is None or stage in found):
        return {name: checkpoint.read(place, name) for name in found if stage in (None, name)}
    source = checkpoint.read(place, stage or "dae")  # a file, or the folder of a stage
    own = "classifier" if source.hyper_parameters.get("head") is not None else "dae"
    if stage not in (None, own):
        what = f"{path_from_here(source.path)} is a checkpoint of {own}"
        raise ConfigError([Problem(f"--stage {stage}", what, f"try --stage {own}")])
    return {own: source}


def _find_again(data: DictConfig, folder: Path) -> None:
    """Let the paths of a run's data begin where it was launched, if they are still there."""
    runtime = read_hydra(folder / ".hydra" / "hydra.yaml").get("runtime") or {}
    origin = Path(runtime.get("cwd", "."))
    for key in ("root", "unlabelled"):
        path = data.get(key)
        if path is not None and (origin / path).exists():
            data[key] = str(origin / path)


def _preprocessing(source: Checkpoint, begun: DictConfig | None) -> Preprocessing:
    """How the images of the checkpoint were made."""
    if source.preprocessing is not None:
        return source.preprocessing
    if begun is None:
        name = path_from_here(source.path)
        raise UserError(
            f"{name} is of format 1 and does not say how its images were made: name its run folder"
        )
    how = {key: begun.data[key] for key in ("fit", "background") if key in begun.data}
    return Preprocessing(begun.data.image_size, begun.data.channels, **how or {"background": GROUND})


def _with_labels(
    sources: dict[str, Checkpoint], data: ImageDataModule, asked: bool
) -> tuple[dict[str, Checkpoint], list[str]]:
    """The stages that the labels of these data allow, and what has to be known of it.

    Raises:
        ConfigError: The data have classes that the classifier does not know; or no labels, and it was
            asked for.
    """
    if "classifier" not in sources:
        return sources, []
    rest = {name: source for name, source in sources.items() if name != "classifier"}
    hint = "the autoencoder needs none: try --stage dae" if rest else ""
    known = sources["classifier"].classes
    if not data.classes:
        if asked or not rest:
            raise ConfigError(
                [Problem("data", "these images have no labels, which a classifier needs", hint)]
            )
        return rest, ["the classifier is left out: these images have no labels"]
    if strange := [name for name in data.classes if name not in known]:
        what = f"found the classes {first_few(strange)}, but the classifier knows {first_few(known)}"
        raise ConfigError([Problem("data", what, hint)])
    if data.classes == known:
        return sources, []
    missing = [name for name in known if name not in data.classes]
    lacks = f"; there are none of class {first_few(missing)}" if missing else ""
    return sources, [f"classes are matched by their names{lacks}"]


def _noise(
    sources: dict[str, Checkpoint], cfg: DictConfig, words: Sequence[str], allow_targets: Sequence[str]
) -> tuple[Noise | None, dict[str, Any]]:
    """The noise to measure under, and its description: that of the words, or the checkpoint's reference."""
    if says(words, "dae.noise"):
        if "dae" not in sources:
            what = "only an autoencoder is measured under a noise, and none is measured here"
            raise ConfigError([Problem("dae/noise", what, "leave it out")])
        described = cast(dict[str, Any], OmegaConf.to_container(cfg.dae.noise))
        return build(cfg.dae.noise), described
    if "dae" not in sources:
        return None, {}
    source = sources["dae"]
    described = source.hyper_parameters.get("reference_noise") or {}
    noise = build_described(source.path, "reference_noise", described, allow_targets, lambda skeleton: None)
    if not isinstance(noise, Noise):
        raise CheckpointError(f"{source.path}: its reference_noise is a {type(noise).__name__}, and no noise")
    return noise, dict(described)


def _trained_on(
    images: Split, data: ImageDataModule, begun: DictConfig | None, cfg: DictConfig, own: bool
) -> Iterator[str]:
    """A line if some of the images are among those that the run was trained on, or if that is not known."""
    if begun is None:
        yield "whether the model was trained on these images is not known: its run folder is not there"
        return
    source = begun.data.get("source")
    if not own and source != cfg.data.get("source"):
        return
    trained = data
    if not own:
        where = {} if source in FOLDERS else {"root": cfg.data.root}  # the others are the same everywhere
        trained = build({**begun.data, **where})
        try:
            trained.setup()
        except UserError:
            yield "whether the model was trained on these images is not known: its own are not there any more"
            return
    seen = {*image_digests(trained.train)}
    count = sum(digest in seen for digest in image_digests(images))
    if count:
        total = counted(len(images.labels), "image")
        yield f"trained on {count:,} of these {total}: what is measured on them promises too much"


def _as_features(data: ImageDataModule, module: EncoderClassifier, classes: Sequence[str]) -> ImageDataModule:
    """What a classifier is tested on: features of the images, and labels in the order of its classes."""
    order = torch.tensor([classes.index(name) for name in data.classes])
    data.test = Split(data.test.images, order[data.test.labels])
    if not module.frozen_blocks:
        return data
    content = checkpoint.content_hash(module.frozen_tensors())
    return FeatureDataModule(data, module.frozen_part(), content)
