"""What the first layer looks for, and what every layer makes of one image."""

from __future__ import annotations

from typing import Any

import matplotlib
import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from dae.data.image_set import bytes_to_floats
from dae.models.autoencoder import DenoisingAutoencoder
from dae.pictures.figures import draw_image_rows, draw_text, pad_with_white
from dae.pictures.publishing import images_and_epoch, is_due, publish
from dae.pictures.watcher import Watcher
from dae.text import pluralize

COLUMNS = 16


class Filters(Watcher):
    """Filters of the first convolution; maps of the first validation image through every layer.

    Args:
        every_n_epochs: Epochs between two pictures; the last epoch always has one.
    """

    def __init__(self, every_n_epochs: PositiveInt = 5) -> None:
        self.every_n_epochs = every_n_epochs

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw, log, and write ``filters.png`` and ``activations.png``."""
        if not isinstance(pl_module, DenoisingAutoencoder) or not is_due(trainer, self.every_n_epochs):
            return
        publish(trainer, pl_module, "filters", draw_filters(pl_module.encoder))
        image = bytes_to_floats(trainer.datamodule.val.images[:1])  # type: ignore[attr-defined]
        maps = activations(pl_module, image.to(pl_module.device))
        which = f"The first of the {images_and_epoch(trainer)}, up to {COLUMNS} channels a layer"
        title = f"{which}: black is 0 or less, white the greatest value of the layer"
        rows = {"image": filter_tiles(image), **{name: channels(values) for name, values in maps.items()}}
        publish(trainer, pl_module, "activations", draw_image_rows(rows, title=title))


def draw_filters(encoder: nn.Module) -> Tensor:
    """The first convolution's filters: of grey images by sign, of colour images in colour."""
    first = next((layer for layer in encoder.modules() if isinstance(layer, nn.Conv2d)), None)
    if first is None:
        return draw_text("The encoder has no convolution, so there are no filters to be shown.")
    weights = first.weight.detach().float().cpu()
    largest = float(weights.nan_to_num().abs().amax())
    scaled = weights / max(largest, 1e-12)
    if weights.shape[1] == 3:
        shown, legend = scaled.add(1).div(2), "grey is 0"
    else:
        # Of several channels that are no colours, the mean.
        signed = scaled.mean(1).add(1).div(2).nan_to_num(0.5)
        coloured = matplotlib.colormaps["PuOr_r"](signed.numpy())[..., :3]
        shown = torch.from_numpy(coloured).float().movedim(-1, 1)
        legend = f"purple -{largest:.2f}, white 0, orange +{largest:.2f}"
    rows = {
        f"{start}-{min(start + COLUMNS, len(shown)) - 1}": filter_tiles(shown[start : start + COLUMNS])
        for start in range(0, len(shown), COLUMNS)
    }
    size = " x ".join(map(str, weights.shape[2:]))
    return draw_image_rows(
        rows, title=f"First convolution: {pluralize(len(shown), 'filter')} of {size}, {legend}"
    )


def activations(module: DenoisingAutoencoder, images: Tensor) -> dict[str, Tensor]:
    """Output (C, h, w) of every layer for the first of the images (N, C, H, W), in the order of the layers.

    Layers are the encoder's blocks, and else whatever has parameters of its own.
    """
    blocks = list(getattr(module.encoder, "blocks", []))
    parts = (module.decoder,) if blocks else (module.encoder, module.decoder)
    own = [layer for part in parts for layer in part.modules() if list(layer.parameters(recurse=False))]
    names = {layer: name for name, layer in module.named_modules()}
    found: dict[str, Tensor] = {}

    def keep(layer: nn.Module, _: Any, output: Tensor) -> None:
        if output.dim() == 4:
            found[names[layer]] = output[0].detach().float().cpu()

    handles = [layer.register_forward_hook(keep) for layer in [*blocks, *own]]
    try:
        with torch.inference_mode():
            module(images)
    finally:
        for handle in handles:
            handle.remove()
    return found


def channels(maps: Tensor) -> Tensor:
    """The first channels of (C, h, w) as a row of tiles; negative values are shown as 0."""
    shown = maps[:COLUMNS, None]
    return filter_tiles(shown / shown.nan_to_num().amax().clamp(min=1e-12))


def filter_tiles(images: Tensor) -> Tensor:
    """As a full row of tiles (N, C, side, side) with white between them, whatever their size was."""
    side = 64
    large = F.interpolate(images, (side, side), mode="nearest")
    return pad_with_white(F.pad(large, (2, 2, 2, 2), value=1.0), COLUMNS)
