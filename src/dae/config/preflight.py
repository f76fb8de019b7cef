"""What can be known of a command before anything is trained: the schema, the rules, a dry build, the data."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dae import metrics
from dae.config.building import build, dry_build
from dae.config.settings import pretraining_word, schema_problems, stages_to_run, uses_pretrained
from dae.data.batches import Batches
from dae.data.images import EVALUATION_BATCH_SIZE, ImageDataModule
from dae.data.listing import list_images, look_at, split_folders
from dae.errors import CheckpointError, Problem, UserError, raise_problems
from dae.runs import checkpoint
from dae.runs.resume import read_saved_config, run_folder
from dae.text import closest_name, first_line, path_from_here, pluralize, quoted_override, train_command
from dae.training.devices import device_count

log = logging.getLogger(__name__)

Config = dict[str, Any]


def _checkpoints(config: Config) -> Iterator[Problem]:
    """A checkpoint that is given is used, is there, and is of these images and of this arm."""
    stages, chosen = stages_to_run(config), config["classifier"]
    used = "classifier" in stages and chosen["encoder"] == "pretrained"
    given = {
        "classifier.encoder_checkpoint": (chosen["encoder_checkpoint"], used),
        "dae.warm_start": (config["dae"]["warm_start"], "dae" in stages),
    }
    for key, (place, is_used) in given.items():
        if place is None:
            continue
        if not is_used:
            what = f"found {place!r}, but no stage that runs reads it (stage={config['stage']}, "
            yield Problem(key, f"{what}classifier.encoder={chosen['encoder']})", f"try {key}=null")
            continue
        try:
            found = checkpoint.read(place)
        except UserError as error:
            yield Problem(key, str(error))
            continue
        how, asked = found.preprocessing, pretraining_word(config)
        for name, number in (("image_size", how.image_size), ("channels", how.channels)):
            if config["data"][name] != number:
                what = f"{place} takes data.{name}={number}, found {config['data'][name]}"
                yield Problem(key, what, f"try data.{name}={number}")
        reads = key.startswith("classifier") and uses_pretrained(config)
        if reads and found.pretraining not in (None, asked):
            what = f"{place} was pretrained with {found.pretraining}, and pretraining={asked} is asked for"
            yield Problem(key, what, f"try pretraining={found.pretraining}")
    if stages == ["classifier"] and uses_pretrained(config) and chosen["encoder_checkpoint"] is None:
        what = "stage=classifier needs an encoder, and none was given"
        hint = f"train one first: {train_command()} stage=dae; then name its run folder here"
        yield Problem("classifier.encoder_checkpoint", what, hint)


def _untrained(config: Config) -> Iterator[Problem]:
    if config["pretraining"] == "none" and config["stage"] == "dae":
        what = "found 'none', which leaves stage 1 out, but stage=dae is stage 1"
        yield Problem("pretraining", what, "try pretraining=denoising or pretraining=plain")


def _no_blocks(config: Config) -> Iterator[Problem]:
    key, asked = "classifier.trainable_blocks", config["classifier"]["trainable_blocks"]
    if asked and config["classifier"]["encoder"] == "none":
        yield Problem(key, f"found {asked!r}, but classifier.encoder=none has no blocks", f"try {key}=0")


def _objective(config: Config) -> Iterator[Problem]:
    name, measured = config["objective"], metrics.metrics_of(stages_to_run(config), config["callbacks"])
    if name == "auto" or name in measured or not measured:
        return
    missing = [each for each in metrics.OF_CALLBACKS if each not in config["callbacks"]]
    bring = [each for each in missing if name in metrics.OF_CALLBACKS[each]]
    if bring:
        together = quoted_override("callbacks", f"[{','.join([*config['callbacks'], *bring])}]")
        yield Problem("objective", f"only the callback {bring[0]} measures {name}", f"try {together}")
    elif all(
        node["_target_"].startswith("dae.") for node in config["callbacks"].values()
    ):  # of others who knows
        validated = [each for each in measured if "/val/" in each]  # never optimise on the test set
        meant = next((each for each in validated if each.endswith(f"/{name}")), closest_name(name, validated))
        what = f"found {name!r}, expected auto or one of {', '.join(measured)}"
        yield Problem("objective", what, f"try objective={meant}" if meant else "")


def _chosen_all_the_same(config: Config) -> Iterator[Problem]:
    stops = [key for key, node in config["callbacks"].items() if node["_target_"].endswith("EarlyStopping")]
    last = config["classifier"]["choose"] == "last" and "classifier" in stages_to_run(config)
    for key in stops if last or config["data"]["validation"] == "test" else ():
        what = "early stopping chooses an epoch, and here nothing is chosen: with data.validation=test, or "
        yield Problem(f"callbacks.{key}", f"{what}classifier.choose=last", f"try '~callbacks.{key}'")


def _never_validated(config: Config) -> Iterator[Problem]:
    key, every = "trainer.check_val_every_n_epoch", config["trainer"].get("check_val_every_n_epoch") or 1
    for stage in stages_to_run(config):
        epochs = config[stage]["epochs"]
        if 0 < epochs < every and config["data"]["validation"] != "test":
            what = (
                f"found {every}, but {stage}.epochs={epochs}: no epoch would be validated, none be the best"
            )
            yield Problem(key, what, f"try {key}={epochs}")


def _uneven_batches(config: Config) -> Iterator[Problem]:
    size, count = config["data"]["batch_size"], device_count(config["trainer"])
    if size % count:
        what = f"found {size} for the whole run, which {count} devices cannot share evenly"
        yield Problem("data.batch_size", what, f"try data.batch_size={max(1, round(size / count)) * count}")


RULES: list[Callable[[Config], Iterator[Problem]]] = [
    _checkpoints,
    _untrained,
    _no_blocks,
    _objective,
    _chosen_all_the_same,
    _never_validated,
    _uneven_batches,
]


def check_config(cfg: DictConfig) -> None:
    """Refuse a config that cannot be run.

    Raises:
        ConfigError: With the problems.
    """
    raise_problems(find_problems(cfg))


def find_problems(cfg: DictConfig) -> list[Problem]:
    """All that schema and rules say of a config; where they say nothing, all that a dry build meets."""
    try:
        config = cast(Config, OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))
    except OmegaConfBaseException as error:
        where = str(error.full_key or "config")
        return [Problem(where, first_line(error), f"see {train_command()} --cfg job")]
    found = list(schema_problems(config))
    wrong = {problem.where for problem in found}
    for rule in RULES:
        try:
            found += [problem for problem in rule(config) if problem.where not in wrong]
        except Exception:  # a value is of another type, which is found already
            if not wrong:
                raise
    return found or dry_build(config)


def with_saved_data(cfg: DictConfig, words: list[str]) -> DictConfig:
    """With the data that an encoder was pretrained on, where no other are chosen, and the typed values.

    Args:
        cfg: The config.
        words: The overrides that were typed.
    """
    place, typed = cfg.classifier.encoder_checkpoint, [_key(word) for word in words]
    if cfg.stage != "classifier" or place is None or "data" in typed:
        return cfg
    try:
        folder = run_folder(Path(place))
    except UserError:
        return cfg  # a checkpoint elsewhere, or none: its rule says so
    saved = read_saved_config(folder, list(cfg.allow_targets))
    data = saved["data"]
    if data.get("labels_seed") == saved["seed"]:  # it follows the seed of a run
        data["labels_seed"] = cfg.seed
    log.info("The data are those of %s", path_from_here(folder))
    own = {key: OmegaConf.select(cfg, key) for key in typed if key.startswith("data.")}
    cfg = cfg.copy()
    for key, value in {"data": data, **own}.items():
        OmegaConf.update(cfg, key, value, merge=False, force_add=True)
    return cfg


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0].partition("@")[0].replace("/", ".")


def resolve_auto(cfg: DictConfig) -> DictConfig:
    """With numbers in the place of ``data.image_size=auto`` and ``data.channels=auto``.

    They are those of the encoder that the run reads from a checkpoint, else what the images suggest. Where
    neither can be looked at, ``auto`` stays: whoever reads it later says why.
    """
    keys = ("image_size", "channels")
    wanted = [key for key in keys if OmegaConf.select(cfg, f"data.{key}") == "auto"]
    if not wanted:
        return cfg
    place = cfg.classifier.encoder_checkpoint or cfg.dae.warm_start
    try:
        if place is not None:
            how = checkpoint.read(place).preprocessing
            found, why = (how.image_size, how.channels), f"the encoder in {place}"
        else:
            *found, why = look_at(list_images(split_folders(Path(cfg.data.root))["train"]))  # type: ignore[assignment]
    except (UserError, OSError) as error:
        raise_problems([Problem("data.root", str(error))] if not isinstance(error, CheckpointError) else [])
        return cfg
    cfg = cfg.copy()
    for key, number in zip(keys, found, strict=True):
        if key in wanted:
            cfg.data[key] = number
    log.info("auto: data.image_size=%d, data.channels=%d, by %s", *found, why)
    return cfg


def look_at_data(cfg: DictConfig) -> ImageDataModule:
    """Open the data that all jobs of a sweep will read, with all labels.

    Raises:
        ConfigError: They are refused, or a classifier cannot learn from them.
        UserError: They cannot be had.
    """
    cfg = resolve_auto(cfg)
    config = cast(Config, OmegaConf.to_container(cfg, resolve=True))
    raise_problems(problem for problem in schema_problems(config) if problem.where.startswith("data."))
    data: ImageDataModule = build({**config["data"], "labels": None})
    data.setup()
    raise_problems(_too_few_classes(config, data))
    return data


def check_data(cfg: DictConfig, data: ImageDataModule) -> None:
    """Refuse what the images make impossible, before anything is trained.

    Args:
        cfg: Checked by ``check_config``.
        data: Set up.

    Raises:
        ConfigError: With all problems.
    """
    config = cast(Config, OmegaConf.to_container(cfg, resolve=True))
    raise_problems(_too_few_classes(config, data))
    raise_problems(problem for stage in stages_to_run(config) for problem in _limits(config, data, stage))


def _too_few_classes(config: Config, data: ImageDataModule) -> Iterator[Problem]:
    """One class, perhaps a folder named one level too high, or none: a classifier would be right always."""
    if "classifier" not in stages_to_run(config) or len(data.classes) > 1:
        return
    if not data.classes:
        what = f"found {config['stage']!r}, but stage 2 needs classes, and these images have none"
        yield Problem("stage", what, "stage 1 does without: try stage=dae")
        return
    folders = [place for place in data.root.glob(f"**/{data.classes[0]}") if place.is_dir()]
    inner = [place for place in folders if any(each.is_dir() for each in place.iterdir())]
    hint = f"its subfolders look like classes: try {quoted_override('data.root', inner[0])}" if inner else ""
    yield Problem("data.root", f"found one class, {data.classes[0]}; expected two or more", hint)


def _limits(config: Config, data: ImageDataModule, stage: str) -> Iterator[Problem]:
    """Lightning finds a share below one batch when that loop begins, the test's after all training."""
    used = data.labelled() if stage == "classifier" else data
    counts = {"train": len(used.count_batches(device_count(config["trainer"])))}
    for name, split in (("val", data.val), ("test", data.test)):
        counts[name] = len(Batches(split.labels, split.labels, EVALUATION_BATCH_SIZE, shuffle=False))
    for name, count in counts.items():
        key = f"limit_{name}_batches"
        limit = config["trainer"].get(key, 1.0)
        if (limit if isinstance(limit, int) else int(limit * count)) < 1:
            what = f"found {limit}, less than one of the {pluralize(count, 'batch', 'batches')} of {stage}"
            yield Problem(f"trainer.{key}", what, f"try trainer.{key}=1")
