"""The notebook's picture: images, what the noise makes of them, what the autoencoder makes of that."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import PositiveInt
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Generator, Tensor

from dae.callbacks.watcher import Watcher
from dae.models.autoencoder import DenoisingAutoencoder
from dae.seeds import derive


class Pictures(Watcher):
    """Validation images, noisy, reconstructed: the same images and noise in every epoch and every run.

    The noise is ``dae.reference_noise``, whatever was trained with. Stage 1 alone has pictures.

    Args:
        count: How many images.
        every_n_epochs: Epochs between two pictures; the last epoch always has one.
    """

    def __init__(self, count: PositiveInt = 10, every_n_epochs: PositiveInt = 1) -> None:
        self.count = count
        self.every_n_epochs = every_n_epochs

    def inputs(self, trainer: Trainer, module: DenoisingAutoencoder) -> tuple[Tensor, Tensor]:
        """Clean and noisy images (count, C, H, W), drawn on the CPU so that every device shows the same."""
        bytes_ = trainer.datamodule.val.images[: self.count]  # type: ignore[attr-defined]
        clean = bytes_.float().div(255)
        generator = Generator().manual_seed(derive("pictures", module.noise_seed))
        return clean, module.reference_noise.corrupt(clean, generator)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw, log, and write ``reconstructions.png``."""
        if not isinstance(pl_module, DenoisingAutoencoder) or trainer.state.fn != "fit":
            return
        epoch = trainer.current_epoch + 1
        if epoch % self.every_n_epochs and epoch != trainer.max_epochs:
            return
        clean, noisy = self.inputs(trainer, pl_module)
        with torch.inference_mode():
            reconstruction = pl_module(noisy.to(pl_module.device)).sigmoid().cpu()
        picture = draw({"clean": clean, "noisy": noisy, "reconstruction": reconstruction})
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("dae/reconstructions", picture, epoch)
        write_png(picture, Path(trainer.default_root_dir) / "reconstructions.png")


def draw(rows: dict[str, Tensor]) -> Tensor:
    """Rows of images, each with its name, as one picture (3, height, width) in uint8."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Each row is one wide image: a tenth of the time that an axis an image takes.
    strips = [torch.cat([*images.clamp(0, 1)], dim=2).movedim(0, -1) for images in rows.values()]
    columns = next(iter(rows.values())).shape[0]
    figure = Figure(figsize=(columns + 1.5, len(rows)), dpi=80)
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), squeeze=False)[:, 0]
    figure.subplots_adjust(left=1.4 / (columns + 1.5), right=0.99, bottom=0.02, top=0.98, hspace=0.05)
    for axis, name, strip in zip(axes, rows, strips, strict=True):
        axis.imshow(strip.squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=11)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    return torch.from_numpy(pixels.copy()).movedim(-1, 0)


def write_png(picture: Tensor, path: Path) -> None:
    """Write (3, height, width) in uint8."""
    from PIL import Image

    Image.fromarray(picture.movedim(0, -1).numpy()).save(path)
