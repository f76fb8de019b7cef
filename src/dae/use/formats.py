"""What can be exported, and as what; without torch, so that ``dae export --help`` answers at once."""

from __future__ import annotations

from dataclasses import dataclass

PARTS = ("encoder", "decoder", "autoencoder", "classifier")


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        suffix: Of its name.
        packages: Those of the extra ``export`` that it needs.
    """

    suffix: str
    packages: tuple[str, ...] = ()


FORMATS = {
    "onnx": Format(".onnx", ("onnx", "onnxscript", "onnxruntime")),
    "torch_export": Format(".pt2"),
    "safetensors": Format(".safetensors", ("safetensors",)),
}
