"""Test images as each arm of a comparison reconstructs them, from the checkpoints of its first seed."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Generator, Tensor

from dae.config.building import build
from dae.data.image_set import bytes_to_floats
from dae.data.images import ImageDataModule
from dae.errors import UserError
from dae.pictures.figures import draw_image_rows, write_png
from dae.report.embedded_pictures import as_source
from dae.runs.checkpoint import load_autoencoder
from dae.runs.resume import read_saved_config
from dae.seeds import derive_seed
from dae.sweeps.cautions import IMAGES
from dae.sweeps.jobs import Job

COUNT = 8


def draw_reconstructions(jobs: Mapping[str, Job], allow_targets: Sequence[str] = ()) -> str:
    """A picture for ``src`` of an image element: clean, noisy, and a row for each arm.

    Args:
        jobs: Arm -> a job of it that has a stage 1.
        allow_targets: Packages besides ours whose classes the configs and the checkpoints may name.

    Raises:
        UserError: The images are not there, differ between the arms, or a checkpoint cannot be read.
    """
    left_out = ("callbacks", "logger")
    configs = {
        arm: OmegaConf.create(read_saved_config(job.folder, allow_targets, left_out))
        for arm, job in jobs.items()
    }
    first = next(iter(configs))
    for arm, config in configs.items():
        if _images(config) != _images(configs[first]):
            raise UserError(f"{arm} sees other images, or other noise, than {first}")
    clean = _test_images(configs[first].data)
    noise = build(configs[first].dae.reference_noise)
    seed = derive_seed("pictures", configs[first].data.split_seed)
    noisy = noise.corrupt(clean, Generator().manual_seed(seed))
    rows = {"clean": clean, "noisy": noisy}
    for arm, job in jobs.items():
        encoder, decoder, _ = load_autoencoder(job.folder, allow_targets)
        with torch.inference_mode():
            rows[arm] = decoder.eval()(encoder.eval()(noisy)).float().sigmoid()
    written = io.BytesIO()
    write_png(draw_image_rows(rows), written)
    return as_source(written.getvalue())


def _images(config: Any) -> list[Any]:
    """What decides which images are shown, and under which noise."""
    keys = [key for key in config.data if f"data.{key}" in IMAGES]
    return [config.data.source, *(config.data[key] for key in keys), config.dae.reference_noise]


def _test_images(config: Any) -> Tensor:
    """Images from all over the test set, which may be sorted by class; none are downloaded for a picture."""
    root = Path(config.root)
    name = config.source["_target_"]
    if name.startswith("dae.data.sources.") and not name.endswith(".digits") and not root.is_dir():
        raise UserError(f"the images are not in {root}")
    needed = {"root": str(root), "labels": None, **({"unlabelled": None} if "unlabelled" in config else {})}
    data: ImageDataModule = build(OmegaConf.merge(config, needed))  # type: ignore[arg-type]
    data.setup()
    spread = torch.linspace(0, len(data.test.labels) - 1, COUNT).long()
    return bytes_to_floats(data.test.chosen(spread).images[:])
