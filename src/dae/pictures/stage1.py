"""Pictures of stage 1: what it reconstructs, what its first layer looks for, where its latents lie."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from pytorch_lightning import LightningModule, Trainer
from torch import Generator, Tensor, nn

from dae.data.image_set import bytes_to_floats
from dae.errors import UserError
from dae.models.autoencoder import DenoisingAutoencoder
from dae.pictures.drawing import (
    Watcher,
    apply_in_batches,
    class_names,
    data_of,
    draw_image_rows,
    epochs_done,
    evaluated_split,
    figure_pixels,
    images_and_epoch,
    is_due,
    publish,
    tensorboard_writers,
)
from dae.pictures.style import new_figure, style_axes
from dae.seeds import derive_seed

SPRITE = 32  # pixels: TensorBoard takes sprites of up to 8,192 in all
COLUMNS = 16


class Reconstructions(Watcher):
    """The notebook's picture: validation images, noisy, reconstructed.

    The same images and the same noise, ``dae.reference_noise``, in every epoch and every run. The file is of
    the checkpoint that counts.

    Args:
        count: How many images.
        every_n_epochs: Epochs between two pictures; the last epoch always has one.
    """

    def __init__(self, count: PositiveInt = 10, every_n_epochs: PositiveInt = 1) -> None:
        self.count, self.every_n_epochs = count, every_n_epochs

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw, log, and write ``reconstructions.png``."""
        if isinstance(pl_module, DenoisingAutoencoder) and is_due(trainer, self.every_n_epochs):
            self.show(trainer, pl_module, f"Validation images ({images_and_epoch(trainer).partition('(')[2]}")

    on_test_epoch_end = on_validation_epoch_end

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Show what a fit that diverged has come to as well."""
        if isinstance(pl_module, DenoisingAutoencoder) and isinstance(exception, UserError):
            pl_module.eval()
            self.show(trainer, pl_module, str(exception).splitlines()[0])

    def show(self, trainer: Trainer, module: DenoisingAutoencoder, title: str) -> None:
        """Draw and publish; the noise is drawn on the CPU, so that every device shows the same."""
        clean = bytes_to_floats(data_of(trainer).val.images[: self.count])
        generator = Generator().manual_seed(derive_seed("pictures", module.noise_seed))
        noisy = module.reference_noise.corrupt(clean, generator)
        made = apply_in_batches(lambda images: module(images).sigmoid(), noisy, module.device)
        rows = {
            "clean": clean,
            "noisy": noisy,
            "reconstruction": made,
            "absolute error": (made - clean).abs(),
        }
        publish(trainer, module, "reconstructions", draw_image_rows(rows, title))


class Filters(Watcher):
    """Filters of the first convolution: grey is 0; of several channels that are no colours, the mean.

    Args:
        every_n_epochs: Epochs between two pictures; the last epoch always has one.
    """

    def __init__(self, every_n_epochs: PositiveInt = 5) -> None:
        self.every_n_epochs = every_n_epochs

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw, log, and write ``filters.png``; an encoder without a convolution has none."""
        if not isinstance(pl_module, DenoisingAutoencoder) or not is_due(trainer, self.every_n_epochs):
            return
        first = next((layer for layer in pl_module.encoder.modules() if isinstance(layer, nn.Conv2d)), None)
        if first is not None:
            publish(trainer, pl_module, "filters", draw_filters(first.weight.detach().float().cpu()))


def draw_filters(weights: Tensor) -> Tensor:
    """Filters (N, C, h, w) as tiles."""
    largest = float(weights.nan_to_num().abs().amax())
    shown = weights if weights.shape[1] == 3 else weights.mean(1, keepdim=True)
    tiles = F.interpolate(shown / max(largest, 1e-12) / 2 + 0.5, (32, 32), mode="nearest")
    rows = {f"{start}-": tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)}
    return draw_image_rows(rows, f"{len(tiles)} filters: black -{largest:.2f}, grey 0, white +{largest:.2f}")


class Latent(Watcher):
    """The latents of test images by the checkpoint that counts: two dimensions of them, and the projector.

    Args:
        images: At most so many.
    """

    def __init__(self, images: PositiveInt = 2000) -> None:
        self.images = images

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write ``latent.png``; TensorBoard's projector has the latents themselves."""
        if not isinstance(pl_module, DenoisingAutoencoder):
            return
        split, names = evaluated_split(trainer)[1], class_names(trainer)
        images, labels = bytes_to_floats(split.images[: self.images]), split.labels[: self.images]
        latents = apply_in_batches(pl_module.encoder, images, pl_module.device).flatten(1)
        if len(latents) < 2 or not latents.isfinite().all():
            return
        publish(trainer, pl_module, "latent", draw_latents(latents, labels, names, images_and_epoch(trainer)))
        small = images if images.shape[-1] <= SPRITE else F.interpolate(images, (SPRITE, SPRITE), mode="area")
        for writer in tensorboard_writers(trainer):
            told = [names[label] for label in labels.tolist()]
            # The tensors lie in a folder of the step beside the event file.
            writer.add_embedding(latents, told, small, epochs_done(trainer), "latent")


def draw_latents(latents: Tensor, labels: Tensor, names: list[str], title: str) -> Tensor:
    """Latents (N, D) on their two principal axes, and the name of each class in the middle of its own."""
    from sklearn.decomposition import PCA

    pca = PCA(min(2, latents.shape[1], len(latents)), svd_solver="full")
    flat = F.pad(torch.from_numpy(pca.fit_transform(latents.numpy())), (0, 1))[:, :2]
    figure = new_figure(7.5, 6)
    axes = figure.subplots()
    share = float(pca.explained_variance_ratio_.sum())
    style_axes(axes, f"Latents of {len(latents)} {title}: PCA, {share:.0%} of the variance")
    axes.scatter(
        flat[:, 0], flat[:, 1], s=6, linewidths=0, c=labels, cmap="tab10" if len(names) <= 10 else "hsv"
    )
    for label in labels.unique().tolist():
        x, y = flat[labels == label].median(0).values.tolist()
        box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "grey"}
        axes.text(x, y, names[label], fontsize=10, ha="center", va="center", bbox=box, parse_math=False)
    return figure_pixels(figure)
