"""Rules between keys, where nobody else would notice: what Lightning, torch or a class refuses is theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from dae import metrics
from dae.config.arms import pretraining_word, stages_to_run, uses_pretrained
from dae.errors import Problem, UserError
from dae.runs import checkpoint
from dae.schema import select
from dae.text import closest_name, pluralize, quoted_override, train_command
from dae.training.devices import device_count
from dae.training.machine import total_memory

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


def _too_large(config: Config) -> Iterator[Problem]:
    """Images that do not fit into memory at that size."""
    data, there = config["data"], total_memory()
    name = str(select(data, "source._target_")).rpartition(".")[2]
    count = {"digits": 1_797, "mnist": 70_000, "fashion_mnist": 70_000, "kmnist": 70_000}.get(name, 1)
    needed = count * data["channels"] * data["image_size"] ** 2
    if there is not None and needed > there:
        sizes = f"{needed / 1e9:,.0f} GB, and this machine has {there / 1e9:,.0f}"
        yield Problem("data.image_size", f"{pluralize(count, 'image')} of that size take {sizes}")


RULES: list[Callable[[Config], Iterator[Problem]]] = [
    _checkpoints,
    _untrained,
    _no_blocks,
    _objective,
    _chosen_all_the_same,
    _never_validated,
    _uneven_batches,
    _too_large,
]
