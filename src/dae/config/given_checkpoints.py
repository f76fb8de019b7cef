"""Is a checkpoint that the config names there, of these images and of this arm? If not, which ones are?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dae.config.arms import arm_words, pretraining_word, stages_to_run, uses_pretrained
from dae.config.commands import same_data_as_composed
from dae.errors import Problem, UserError
from dae.keys import select
from dae.runs import checkpoint
from dae.words import path_from_here, quoted_override, train_command, user_folder

Config = dict[str, Any]


def encoder_checkpoint(config: Config) -> Iterator[Problem]:
    """The rule for ``classifier.encoder_checkpoint``."""
    chosen, key = config["classifier"], "classifier.encoder_checkpoint"
    place = chosen["encoder_checkpoint"]
    if place is not None and chosen["encoder"] != "pretrained":
        what = f"found {place!r}, but classifier.encoder={chosen['encoder']} reads no checkpoint"
        yield Problem(key, what, f"try classifier.encoder=pretrained, or {key}=null")
    elif place is not None and "classifier" not in stages_to_run(config):
        what = f"found {place!r}, but stage={config['stage']} trains no classifier"
        yield Problem(key, what, "try stage=classifier")
    elif place is not None and uses_pretrained(config):
        yield from _unfit(key, place, config)
    elif config["stage"] == "classifier" and uses_pretrained(config):
        yield _no_checkpoint(key, config)


def warm_start(config: Config) -> Iterator[Problem]:
    """The rule for ``dae.warm_start``."""
    place = config["dae"]["warm_start"]
    if place is None:
        return
    if "dae" not in stages_to_run(config):
        yield Problem(
            "dae.warm_start", f"found {place!r}, but stage 1 does not run", "try dae.warm_start=null"
        )
    else:
        yield from _unfit("dae.warm_start", place, config)


def _unfit(key: str, place: str, config: Config) -> Iterator[Problem]:
    """Why a checkpoint cannot serve these images, or this arm."""
    try:
        found = checkpoint.read(place)
    except UserError as error:
        yield Problem(key, str(error), _advice(key, config))
        return
    reason = _mismatch(found, config)
    if reason:
        yield Problem(key, f"{found.path}: {reason}", _advice(key, config))
    elif _of_other_arm(key, found, config):
        asked = pretraining_word(config)
        what = f"{place} was pretrained with {found.pretraining}; {asked} needs one of its own"
        yield Problem(key, what, f"try pretraining={found.pretraining}, or {key}=null")


def _of_other_arm(key: str, found: checkpoint.Checkpoint, config: Config) -> bool:
    """Whether stage 2 would be told of another pretraining than it gets; stage 1 may start from any."""
    reads = key == "classifier.encoder_checkpoint"
    return reads and found.pretraining not in (None, pretraining_word(config))


def _mismatch(found: checkpoint.Checkpoint, config: Config) -> str:
    encoder = found.hyper_parameters.get("encoder")
    if not isinstance(encoder, dict):
        return "it holds no encoder"
    for key, number in found.images.items():
        if select(config, key) != number:
            here = f"the data has {key}={select(config, key)}"
            return f"its encoder has {key.removeprefix('data.')}={number}, {here}"
    return ""


def _no_checkpoint(key: str, config: Config) -> Problem:
    what = "stage=classifier needs an encoder, and none was given"
    first = " ".join([f"train one first: {train_command()} stage=dae", *_same_run(config)])
    return Problem(key, what, _advice(key, config) or first)


def _same_run(config: Config) -> list[str]:
    return [*arm_words(config), *same_data_as_composed(config)]


def _advice(key: str, config: Config) -> str:
    """The newest run folders whose encoder would fit."""
    files = [
        file
        for found in ("outputs/*", "multirun/*/*")
        for file in user_folder().glob(f"{found}/dae/best.ckpt")
    ]
    fitting = []
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
        try:
            found = checkpoint.read(file)
            fits = not _mismatch(found, config) and not _of_other_arm(key, found, config)
        except UserError:
            continue  # half written, or of another project: not worth proposing
        if fits:
            fitting.append(path_from_here(file.parent.parent))
        if len(fitting) == 3:
            break
    if not fitting:
        return ""
    head = f"{train_command()} stage=classifier" if key.startswith("classifier") else train_command()
    end = " ".join(_same_run(config))
    commands = "".join(f"\n        {head} {quoted_override(key, folder)} {end}" for folder in fitting)
    return f"newest runs that would fit:{commands}"
