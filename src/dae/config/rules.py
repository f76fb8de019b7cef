"""Rules that involve several keys of the config."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.utils import get_object

from dae import metrics
from dae.config import given_checkpoints, rehearsal, sizes
from dae.config.arms import stages_to_run, uses_pretrained
from dae.config.commands import same_data_as_composed
from dae.data.folder import is_without_classes
from dae.data.sources import FOLDER_KEYS, FOLDERS
from dae.errors import Problem, UserError
from dae.keys import overlap
from dae.models.networks import blocks_of
from dae.runs.checkpoint import load_encoder
from dae.training.processes import device_count
from dae.training.threads import available_cores
from dae.training.trainer import device_type, devices_there
from dae.words import closest_name, counted, quoted_override, train_command

Config = dict[str, Any]


def rule_problems(config: Config, wrong: Sequence[str]) -> Iterator[Problem]:
    """Check all rules, with ``stage=data`` those of the run that it shows.

    Args:
        config: The config as plain values.
        wrong: Key paths with a problem of their own; a rule that reads one of them is skipped.
    """
    if config.get("stage") == "data":
        config = {**config, "stage": "dae" if _lacks_classes(config) else "both"}
    told = list(wrong)
    for rules, skipped in ((RULES, wrong), (REHEARSALS, told)):
        for keys, rule in rules:
            if not any(overlap(key, path) for key in keys for path in skipped):
                found = list(rule(config))
                yield from found
                told += [problem.where for problem in found]


def _blocks(config: Config) -> Iterator[Problem]:
    chosen, key = config["classifier"], "classifier.trainable_blocks"
    asked, place = chosen["trainable_blocks"], chosen["encoder_checkpoint"]
    if chosen["encoder"] == "none" and asked != 0:
        what = f"found {asked!r}, but classifier.encoder=none has no blocks to train"
        yield Problem(key, what, f"try {key}=0")
    if chosen["encoder"] == "none" or asked == "all" or "classifier" not in stages_to_run(config):
        return
    if place is not None and uses_pretrained(config):
        try:
            there = len(blocks_of(load_encoder(place, config["allow_targets"])[0]))
        except UserError:
            return  # told in whole by the stage that loads it
    else:
        networks = rehearsal.try_networks(config, decoder=False)
        if isinstance(networks, Problem):
            return
        there = networks.blocks
    if asked > there:
        what = f"found {asked}, but the encoder has {counted(there, 'block')}: expected 0 to {there}, or all"
        yield Problem(key, what, f"try {key}=all")


def _untrained(config: Config) -> Iterator[Problem]:
    if config["pretraining"] == "none" and config["stage"] == "dae":
        what = "found 'none', which leaves stage 1 out, but stage=dae is stage 1"
        yield Problem("pretraining", what, "try pretraining=denoising or pretraining=plain")


def _objective(config: Config) -> Iterator[Problem]:
    name, stages, present = config["objective"], stages_to_run(config), list(config["callbacks"])
    measured = metrics.metrics_of(stages, present)
    if name == "auto" or name in measured:
        return
    for callback in metrics.OF_CALLBACKS:
        if name in metrics.metrics_of(stages, [callback]):
            what = f"found {name!r}, which only the callback {callback} measures, and it is not among these"
            advice = quoted_override("callbacks", f"[{','.join([*present, callback])}]")
            yield Problem("objective", what, f"try {advice}")
            return
    meant = next((each for each in measured if each.endswith(f"/{name}")), closest_name(name, measured))
    what = f"found {name!r}, expected auto or one of {', '.join(measured)}"
    yield Problem("objective", what, f"try objective={meant}" if meant else "")


def _chosen_all_the_same(config: Config) -> Iterator[Problem]:
    for name, node in config["callbacks"].items():
        if not node["_target_"].endswith("EarlyStopping"):
            continue
        if config["data"]["validation"] == "test":
            what = "early stopping with data.validation=test would choose on the test set"
            yield Problem(f"callbacks.{name}", what, "try data.validation=5000")
        if config["classifier"]["choose"] == "last" and "classifier" in stages_to_run(config):
            what = "early stopping chooses an epoch, and with classifier.choose=last nothing is chosen"
            yield Problem(f"callbacks.{name}", what, "try classifier.choose=best")


def _never_validated(config: Config) -> Iterator[Problem]:
    every = config["trainer"].get("check_val_every_n_epoch", 1)
    for stage in stages_to_run(config):
        epochs = config[stage]["epochs"]
        if 0 < epochs < every and config["data"]["validation"] != "test":
            what = (
                f"found {every}, but {stage}.epochs={epochs}: no epoch would be validated, none be the best"
            )
            yield Problem(
                "trainer.check_val_every_n_epoch", what, f"try trainer.check_val_every_n_epoch={epochs}"
            )


def _block_size(config: Config) -> Iterator[Problem]:
    side = config["data"]["image_size"]
    for key in ("noise", "reference_noise"):
        size = config["dae"][key].get("size", 1)
        if size > side:
            yield Problem(f"dae.{key}.size", f"found {size}, expected at most data.image_size={side}")


def _labels(config: Config) -> Iterator[Problem]:
    limit, labels = config["data"].get("limit"), config["data"].get("labels")
    if limit is not None and isinstance(labels, int) and labels > limit:
        yield Problem("data.labels", f"found {labels}, expected at most data.limit={limit}")


def _in_memory(config: Config) -> Iterator[Problem]:
    source = config["data"]["source"]
    if not config["data"].get("in_memory", True) and source not in FOLDERS:
        what = f"found False, but data.source={source} is read as a whole; {', '.join(FOLDERS)} is not"
        yield Problem("data.in_memory", what, "try data.in_memory=true")


def _folder_keys(config: Config) -> Iterator[Problem]:
    data = config["data"]
    given = [key for key in FOLDER_KEYS if key in data] if data["source"] not in FOLDERS else []
    for key in given:
        what = f"found {data[key]!r}, but only a folder of images has it, not data.source={data['source']}"
        yield Problem(f"data.{key}", what, f"leave it out, or try data={FOLDERS[0]} data.root=<folder>")
    if data.get("unlabelled") is not None and not data.get("in_memory", True) and not given:
        what = f"found {data['unlabelled']!r}, whose images join others in memory, but data.in_memory=false"
        yield Problem("data.unlabelled", what, "try data.in_memory=true, or data.unlabelled=null")


def _lacks_classes(config: Config) -> bool:
    data = config["data"]
    folder = isinstance(data, dict) and data.get("source") in FOLDERS
    if not folder:
        return False
    beside = data.get("unlabelled")
    return is_without_classes(Path(str(data.get("root"))), None if beside is None else Path(str(beside)))


def _without_classes(config: Config) -> Iterator[Problem]:
    if "classifier" in stages_to_run(config) and _lacks_classes(config):
        found, root = config["stage"], config["data"]["root"]
        what = f"found {found!r}, but stage 2 needs classes and {root} holds no class folders"
        command = " ".join([f"{train_command()} stage=dae", *same_data_as_composed(config)])
        yield Problem("stage", what, f"stage 1 does without: {command}")


def _extras(config: Config) -> Iterator[Problem]:
    for name, node in config["logger"].items():
        extra = getattr(get_object(node["_target_"]), "EXTRA", None)
        if extra is not None and find_spec(extra) is None:
            what = f"needs the package {extra}, which is not installed"
            yield Problem(f"logger.{name}", what, f"pip install -e '.[{extra}]'")


def _augment(config: Config) -> Iterator[Problem]:
    side, pixels = config["data"]["image_size"], config["data"].get("augment", 0)
    if pixels >= side:
        yield Problem("data.augment", f"found {pixels}, expected less than data.image_size={side}")


def _device(config: Config) -> Iterator[Problem]:
    try:
        device = device_type(config["trainer"].get("accelerator", "auto"))[0]
    except UserError as error:
        yield from error.problems  # type: ignore[attr-defined]
        return
    precision = config["trainer"].get("precision", "auto")
    if device == "cpu" and precision.startswith("16"):
        what = f"found {precision!r}, which a CPU does not train in"
        yield Problem("trainer.precision", what, "try trainer.precision=auto")
    yield from _lacking(config["trainer"], device)


def _lacking(trainer: Config, device: str) -> Iterator[Problem]:
    """Devices that this machine has not; those of a processor have no numbers."""
    devices, there = trainer.get("devices", 1), devices_there(device)
    where = "trainer.devices"
    if device == "cpu":
        most = max(2, available_cores())
        if isinstance(devices, list):
            what = f"found {devices}, but a processor has no numbers: say how many processes train"
            yield Problem(where, what, f"try {where}={len(devices)}")
        elif devices > most:
            what = f"found {devices}, but this machine has {counted(available_cores(), 'core')}"
            yield Problem(where, what, f"try {where}={most}")
    elif isinstance(devices, int) and devices > there:
        yield Problem(where, f"found {devices}, but this machine has {there}", f"try {where}={there}")
    elif isinstance(devices, list) and not set(devices) <= set(range(there)):
        what = f"found {devices}, but those of this machine are {list(range(there))}"
        yield Problem(where, what, f"try {where}=[0]")
    elif isinstance(devices, list) and len(set(devices)) < len(devices):
        once = sorted(set(devices))
        yield Problem(where, f"found {devices}, one of them twice", f"try {quoted_override(where, once)}")


def _devices(config: Config) -> Iterator[Problem]:
    trainer, batch_size = config["trainer"], config["data"]["batch_size"]
    count = device_count(trainer)
    if count > 1 and trainer.get("strategy", "auto") == "auto":
        what = f"found {trainer['devices']}, but trainer.strategy=auto trains on one device"
        yield Problem(
            "trainer.devices",
            what,
            f"try {quoted_override('trainer.devices', trainer['devices'])} trainer=ddp",
        )
    elif batch_size % count:
        what = f"found {batch_size} for the whole run, which {count} devices cannot share evenly"
        yield Problem(
            "data.batch_size", what, f"try data.batch_size={max(1, round(batch_size / count)) * count}"
        )


def _scaled_and_clipped(config: Config) -> Iterator[Problem]:
    trainer = config["trainer"]
    if trainer.get("precision") != "16-mixed" or not trainer.get("gradient_clip_val"):
        return
    for stage in stages_to_run(config):
        if config[stage]["optimizer"].get("fused"):
            what = (
                "found true, but a fused optimizer hides the scaled gradients of 16-mixed from the clipping"
            )
            yield Problem(f"{stage}.optimizer.fused", what, f"try {stage}.optimizer.fused=false")


# The keys that ``stages_to_run`` reads.
_STAGES = ("stage", "pretraining", "classifier.encoder", "classifier.encoder_checkpoint")
# Those by which networks are built and given images.
_NETWORKS = ("data.image_size", "data.channels", "dae.encoder", "dae.decoder", "dae.noise")
# Each rule with the keys that it reads.
RULES: list[tuple[tuple[str, ...], Callable[[Config], Iterator[Problem]]]] = [
    (("data", "dae.noise", *_STAGES), given_checkpoints.encoder_checkpoint),
    (("stage", "pretraining"), _untrained),
    (("data", "dae.warm_start", *_STAGES), given_checkpoints.warm_start),
    (("objective", "callbacks", *_STAGES), _objective),
    (("callbacks", "data.validation", "classifier.choose", *_STAGES), _chosen_all_the_same),
    (("trainer", "data.validation", "dae.epochs", "classifier.epochs", *_STAGES), _never_validated),
    (("data.image_size", "dae.noise", "dae.reference_noise"), _block_size),
    (("data.limit", "data.labels"), _labels),
    (("data.source", "data.in_memory"), _in_memory),
    (("data",), _folder_keys),
    (("data", *_STAGES), _without_classes),
    (("logger",), _extras),
    (("data.image_size", "data.augment"), _augment),
    (("trainer",), _device),
    (("trainer", "data.batch_size"), _devices),
    (("trainer", "dae.optimizer", "classifier.optimizer", *_STAGES), _scaled_and_clipped),
    (("data.image_size", "data.channels", "dae.encoder", "dae.decoder"), rehearsal.unlike_the_data),
    (("data.source", "data.image_size", "data.channels"), sizes.images_too_large),
]
# Those that build something, of a config that is right in all that they read.
REHEARSALS: list[tuple[tuple[str, ...], Callable[[Config], Iterator[Problem]]]] = [
    ((*_NETWORKS, *_STAGES), rehearsal.networks_refuse),
    ((*_NETWORKS, "classifier.trainable_blocks", "allow_targets", *_STAGES), _blocks),
    ((*_NETWORKS, "classifier", "trainer", *_STAGES), sizes.least_memory_lacks),
    (("trainer",), rehearsal.trainer_refuses),
    *(
        (
            ("trainer.accelerator", f"{stage}.optimizer", f"{stage}.scheduler"),
            partial(rehearsal.optimizer_refuses, stage),
        )
        for stage in metrics.METRICS
    ),
]
