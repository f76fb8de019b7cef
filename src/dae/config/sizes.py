"""What a config asks of a machine and of its data, once it is known how many images there are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import DictConfig, OmegaConf

from dae.config.arms import stages_to_run
from dae.config.rehearsal import Config, try_networks
from dae.data.batches import Batches
from dae.data.images import EVALUATION_BATCH_SIZE, ImageDataModule
from dae.data.sources import FOLDERS
from dae.errors import Problem, raise_problems
from dae.training.processes import device_count
from dae.training.trainer import device_type
from dae.words import counted

FLOAT = 4  # bytes
# Weights, their gradients and the two means that Adam keeps of these.
COPIES_OF_WEIGHTS = 4
# What the layers make, and its gradients: 2.5 GB for 8,192 images of MNIST, of which 2.6 were measured.
COPIES_OF_ACTIVATIONS = 2
# Images of the sources that are read as a whole; of a folder it is known only when it is read.
IMAGES = {"digits": 1_797, "mnist": 70_000, "fashion_mnist": 70_000, "kmnist": 70_000}


def check_sizes(cfg: DictConfig, data: ImageDataModule) -> None:
    """Refuse what the number of images makes impossible, before anything is trained.

    Args:
        cfg: Checked by ``settings.check_config``.
        data: Set up.

    Raises:
        ConfigError: With all problems.
    """
    config = cast(Config, OmegaConf.to_container(cfg, resolve=True))
    batches = {}
    for stage in stages_to_run(config):
        used = data.labelled() if stage == "classifier" else data
        batches[stage] = used.training_batches(world_size=device_count(config["trainer"]))
    raise_problems(
        [
            *(problem for stage in batches for problem in _limits(config, data, stage, batches[stage])),
            *memory_lacks(
                config,
                {stage: drawn.batch_size for stage, drawn in batches.items()},
                evaluated=min(EVALUATION_BATCH_SIZE, max(len(data.val.labels), len(data.test.labels))),
                classes=len(data.classes),
            ),
        ]
    )


def _limits(config: Config, data: ImageDataModule, stage: str, batches: Batches) -> Iterator[Problem]:
    """Lightning finds a share below one batch when that loop begins, the test's after all training."""
    trainer = config["trainer"]
    counts = {"train": len(batches)}
    for name, split in (("val", data.val), ("test", data.test)):
        counts[name] = len(Batches(split, EVALUATION_BATCH_SIZE, shuffle=False))
    for name, count in counts.items():
        key = f"limit_{name}_batches"
        limit = trainer.get(key, 1.0)
        if isinstance(limit, float) and int(limit * count) < 1:
            what = f"found {limit}, less than one of the {counted(count, 'batch', 'batches')} of {stage}"
            yield Problem(f"trainer.{key}", what, f"try trainer.{key}=1")
    limit = trainer.get("limit_train_batches", 1.0)
    used = min(limit, len(batches)) if isinstance(limit, int) else int(limit * len(batches))
    interval = trainer.get("val_check_interval", 1.0)
    if isinstance(interval, int) and interval > used:
        what = f"found {interval}, but an epoch of {stage} has {counted(used, 'batch', 'batches')}"
        yield Problem("trainer.val_check_interval", what, "try trainer.val_check_interval=0.5")


def memory_lacks(
    config: Config, images: Mapping[str, int], evaluated: int = 1, classes: int = 1
) -> Iterator[Problem]:
    """The first stage that does not fit into this machine's memory.

    Args:
        config: The config as plain values.
        images: Of a training batch, by stage.
        evaluated: Images of a validation batch, of which no layer but the present one is kept.
        classes: Of the data.
    """
    there = total_memory(device_type(config["trainer"].get("accelerator", "auto"))[0])
    data, chosen = config["data"], config["classifier"]
    for stage, count in images.items():
        networks = try_networks(config)
        if there is None or isinstance(networks, Problem):
            return
        if stage == "dae":
            where, weights, numbers = "dae.encoder.widths", networks.weights, networks.numbers
        else:
            where, hidden = "classifier.hidden", chosen["hidden"]
            pixels = data["channels"] * data["image_size"] ** 2
            features = pixels if chosen["encoder"] == "none" else networks.latent
            weights = features * classes if hidden is None else (features + classes) * hidden
            trained = chosen["encoder"] != "none" and chosen["trainable_blocks"] in ("all", networks.blocks)
            numbers = (hidden or 0) + classes + (networks.encoder_numbers if trained else 0)
        one_step = max(COPIES_OF_ACTIVATIONS * count * numbers, evaluated * networks.largest)
        needed = FLOAT * (COPIES_OF_WEIGHTS * weights + one_step)
        if needed > there:
            most = max(count, evaluated)
            one_fits = COPIES_OF_WEIGHTS * weights < one_step and FLOAT * numbers < there / 10
            what = (
                f"{counted(weights, 'weight')} and a step of {counted(most, 'image')} take about "
                f"{_gigabytes(needed)} of memory, and this machine has {_gigabytes(there)}"
            )
            yield Problem("data.batch_size" if one_fits else where, what, "make it smaller")
            return


def images_too_large(config: Config) -> Iterator[Problem]:
    """Images that are read as a whole, and do not fit into memory at that size."""
    data, there = config["data"], total_memory("cpu")
    count, side = IMAGES.get(str(data["source"])), data["image_size"]
    if there is None or count is None or data["source"] in FOLDERS:
        return
    needed = count * data["channels"] * side**2
    if needed > there:
        what = (
            f"found {side}: {counted(count, 'image')} take {_gigabytes(needed)}, and this machine has "
            f"{_gigabytes(there)}"
        )
        yield Problem("data.image_size", what, "make it smaller")


def least_memory_lacks(config: Config) -> Iterator[Problem]:
    """``memory_lacks`` before the data are known: with one image a step, and one class."""
    yield from memory_lacks(config, dict.fromkeys(stages_to_run(config), 1))


def total_memory(device: str) -> int | None:
    """Bytes of memory of a device; of the machine what its control group lets this process use.

    None where the operating system does not say: nothing is refused for want of memory there.
    """
    if device == "cuda":
        return torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    names: Mapping[str, Any] = getattr(os, "sysconf_names", {})  # not on Windows
    if not {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= names.keys():
        return None
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    granted = limit.read_text(encoding="utf-8").strip() if limit.is_file() else "max"
    return min(total, int(granted)) if granted.isdecimal() else total


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"
