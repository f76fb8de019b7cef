"""``auto`` for the size and the channels of the images: what it comes to."""

from __future__ import annotations

import copy
import logging
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dae.data.folder import list_images, split_folders
from dae.data.headers import read_headers
from dae.data.sources import FOLDERS, ORIGINAL
from dae.errors import UserError
from dae.runs import checkpoint
from dae.words import path_from_here

log = logging.getLogger(__name__)

AUTO = "auto"
KEYS = ("data.image_size", "data.channels")


def resolve_auto(cfg: DictConfig) -> DictConfig:
    """The config with numbers in the place of ``data.image_size=auto`` and ``data.channels=auto``.

    They are those of the encoder that the run reads from a checkpoint, else what the images suggest. Where
    neither can be looked at, ``auto`` stays: whoever reads them later says why.
    """
    try:
        wanted = [key for key in KEYS if OmegaConf.select(cfg, key) == AUTO]
        found = _suggested(cfg) if wanted else {}
    except (UserError, OSError, OmegaConfBaseException):
        return cfg
    if not found:
        return cfg
    resolved = copy.deepcopy(cfg)
    for key in wanted:
        OmegaConf.update(resolved, key, found[key])
    return resolved


def assume_auto(cfg: DictConfig) -> DictConfig:
    """The config with numbers that images in a folder may have, where it is not known which they have."""
    if OmegaConf.select(cfg, "data.source") not in FOLDERS:
        return cfg
    assumed = copy.deepcopy(cfg)
    for key, number in zip(KEYS, (64, 3), strict=True):
        if OmegaConf.select(cfg, key) == AUTO:
            OmegaConf.update(assumed, key, number)
    return assumed


def _suggested(cfg: DictConfig) -> dict[str, int]:
    """A number for each key; none if the source is not known."""
    place = cfg.classifier.encoder_checkpoint or cfg.dae.warm_start
    if place is not None and (found := _of_encoder(str(place))):
        return found
    if str(cfg.data.source) in ORIGINAL:
        return dict(zip(KEYS, ORIGINAL[cfg.data.source], strict=True))
    if cfg.data.source not in FOLDERS:
        return {}
    unlabelled = cfg.data.get("unlabelled")
    beside = None if unlabelled is None else Path(str(unlabelled))
    folder = split_folders(Path(str(cfg.data.root)), beside)["train"]
    headers = read_headers(list_images(folder))
    grey = sum(header.grey for header in headers.found)
    log.info(
        "auto: data.image_size=%d, data.channels=%d, by %d images: median side %.0f, %d grey, %d in colour",
        headers.image_size,
        headers.channels,
        len(headers.found),
        headers.median_side,
        grey,
        len(headers.found) - grey,
    )
    return dict(zip(KEYS, (headers.image_size, headers.channels), strict=True))


def _of_encoder(place: str) -> dict[str, int]:
    """Those of a checkpoint's encoder; empty if it cannot be read or does not say."""
    try:
        found = checkpoint.read(place)
    except UserError:
        return {}  # the check refuses it, with all else that is wrong
    numbers = found.images
    if len(numbers) < len(KEYS):
        return {}
    words = " and ".join(f"{key}={number}" for key, number in numbers.items())
    log.info("auto: %s, those of the encoder in %s", words, path_from_here(found.path))
    return numbers
