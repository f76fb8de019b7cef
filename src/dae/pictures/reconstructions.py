"""The notebook's picture: images, what the noise makes of them, what the autoencoder makes of that."""

from __future__ import annotations

from pydantic import PositiveInt
from pytorch_lightning import LightningModule, Trainer
from torch import Generator, Tensor

from dae.data.image_set import bytes_to_floats
from dae.errors import UserError
from dae.models.autoencoder import DenoisingAutoencoder
from dae.pictures.figures import draw_image_rows
from dae.pictures.publishing import apply_in_batches, is_due, publish
from dae.pictures.watcher import Watcher
from dae.seeds import derive_seed


class Reconstructions(Watcher):
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
        clean = bytes_to_floats(trainer.datamodule.val.images[: self.count])  # type: ignore[attr-defined]
        generator = Generator().manual_seed(derive_seed("pictures", module.noise_seed))
        return clean, module.reference_noise.corrupt(clean, generator)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw, log, and write ``reconstructions.png``."""
        if isinstance(pl_module, DenoisingAutoencoder) and is_due(trainer, self.every_n_epochs):
            self.show(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Show what a fit that diverged has come to as well."""
        if isinstance(pl_module, DenoisingAutoencoder) and isinstance(exception, UserError):
            pl_module.eval()
            self.show(trainer, pl_module, title=str(exception).splitlines()[0])

    def show(self, trainer: Trainer, module: DenoisingAutoencoder, title: str = "") -> None:
        """Draw and publish."""
        clean, noisy = self.inputs(trainer, module)
        reconstruction = apply_in_batches(lambda images: module(images).sigmoid(), noisy, module.device)
        rows = {
            "clean": clean,
            "noisy": noisy,
            "reconstruction": reconstruction,
            "absolute error": (reconstruction - clean).abs(),
        }
        publish(trainer, module, "reconstructions", draw_image_rows(rows, title=title))
