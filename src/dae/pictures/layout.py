"""The custom scalars of TensorBoard: what belongs together in one chart."""

from __future__ import annotations

from collections.abc import Sequence

from pytorch_lightning import LightningModule, Trainer

from dae.metrics import curves_of
from dae.models.autoencoder import DenoisingAutoencoder
from dae.pictures.publishing import tensorboard_writers
from dae.pictures.robustness import Kind, noise_kinds
from dae.pictures.watcher import Watcher

Charts = dict[str, list[str | list[str]]]


class Layout(Watcher):
    """Training and validation of a metric in one chart, all layers in one, all classes in one."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the layout; TensorBoard joins those of all runs."""
        stage = str(pl_module.stage)
        charts = {stage: custom_scalars(stage)}
        if isinstance(pl_module, DenoisingAutoencoder):
            side = trainer.datamodule.image_size  # type: ignore[attr-defined]
            charts["robustness"] = robustness_charts(noise_kinds(pl_module.noise, side))
        for writer in tensorboard_writers(trainer):
            writer.add_custom_scalars(charts)


def custom_scalars(stage: str) -> Charts:
    """Title to kind and tags of each chart; a tag is a regular expression."""
    found = {name: f"^{stage}/(train|val)/{name}$" for name in curves_of(stage) if name != "noisy_loss"}
    found["loss"] = f"^{stage}/(train|val)/(noisy_)?loss$"
    found["loss within epochs"] = f"^{stage}/train/step_loss$"
    found["learning rate"] = f"^{stage}/train/learning_rate$"
    found["gradient norm"] = f"^{stage}/train/gradient_norm/"
    found["update-to-weight ratio"] = f"^{stage}/train/update_ratio/"
    if stage == "dae":
        found["latent units"] = "^dae/val/latent/"
    elif stage == "classifier":
        found["accuracy of each class"] = "^classifier/val/class_accuracy/"
        found["calibration error"] = "^classifier/val/ece$"
    return {title: ["Multiline", [tag]] for title, tag in found.items()}


def robustness_charts(kinds: Sequence[Kind]) -> Charts:
    """PSNR and SSIM of the reconstruction and of its noisy input, a chart a kind of noise."""
    return {
        f"{metric.upper()} against {kind.axis} of {kind.name} noise": [
            "Multiline",
            [f"^result/dae/robustness_{metric}/{kind.name}/"],
        ]
        for metric in ("psnr", "ssim")
        for kind in kinds
    }
