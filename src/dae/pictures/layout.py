"""The custom scalars of TensorBoard: what belongs together in one chart."""

from __future__ import annotations

from pytorch_lightning import LightningModule, Trainer

from dae.metrics import METRICS
from dae.pictures.publishing import tensorboard_writers
from dae.pictures.watcher import Watcher


class Layout(Watcher):
    """Training and validation of a metric in one chart, all layers in one, all classes in one."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write it once; TensorBoard joins those of all runs."""
        stage = str(pl_module.stage)
        for writer in tensorboard_writers(trainer):
            writer.add_custom_scalars({stage: custom_scalars(stage)})


def custom_scalars(stage: str) -> dict[str, list[str | list[str]]]:
    """Title to kind and tags of each chart; a tag is a regular expression."""
    found = {name: f"^{stage}/(train|val)/{name}$" for name in METRICS[stage] if name != "noisy_loss"}
    found["loss"] = f"^{stage}/(train|val)/(noisy_)?loss$"
    found["loss within epochs"] = f"^{stage}/train/step_loss$"
    found["learning rate"] = f"^{stage}/train/learning_rate$"
    found["gradient norm"] = f"^{stage}/train/gradient_norm/"
    found["update-to-weight ratio"] = f"^{stage}/train/update_ratio/"
    if stage == "dae":
        found["PSNR against 100 x noise level"] = "^result/dae/robustness_psnr/"
        found["SSIM against 100 x noise level"] = "^result/dae/robustness_ssim/"
        found["latent units"] = "^dae/latent/"
    else:
        found["accuracy of each class"] = "^classifier/val/class_accuracy/"
        found["calibration error"] = "^classifier/val/ece$"
    return {title: ["Multiline", [tag]] for title, tag in found.items()}
