"""``dae export``: a part of a trained model for other programs, compared with it before it counts."""

from __future__ import annotations

import copy
import hashlib
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim

import dae
from dae.errors import UserError
from dae.files import atomic_path, write_json
from dae.text import path_from_here
from dae.use.models import PARTS, TrainedModel, load_autoencoder, load_classifier, load_encoder
from dae.use.writing import check_output, require_packages

# Compared in batches of so many; outputs may differ by so much of the largest of them, or of 1.
BATCHES, TOLERANCE = (1, 2, 7), 1e-5
# Ending of the file, and the packages of the extra ``export`` that it needs.
FORMATS = {
    "onnx": (".onnx", ("onnx", "onnxscript", "onnxruntime")),
    "torch_export": (".pt2", ()),
    "safetensors": (".safetensors", ("safetensors",)),
}


def export(
    run: str,
    *,
    part: str,
    kind: str,
    out: Path,
    overwrite: bool,
    allow_targets: Sequence[str] = (),
) -> None:
    """Write the file, and beside it a JSON card that says how it is used, if it computes what the part does.

    Args:
        run: See ``load_autoencoder``.
        part: One of ``PARTS``.
        kind: One of ``FORMATS``.
        out: The file; the card is ``<out>.json``.
        overwrite: Whether a file that is there is replaced.
        allow_targets: Packages besides ours whose classes the checkpoint may name.

    Raises:
        ConfigError: Something is wrong with ``out``.
        UserError: A package is missing, the run has no such part, or it cannot be exported, or written.
    """
    suffix, packages = FORMATS[kind]
    card = out.with_name(f"{out.name}.json")
    check_output(out, [suffix], overwrite)
    check_output(card, [".json"], overwrite)
    require_packages(f"--format {kind}", packages, "export")
    model, sample = load_part(part, run, allow_targets)
    write, read = CONVERSIONS[kind]
    with _quiet(), atomic_path(out) as temporary:
        try:
            write(model, sample(2), temporary)
            opened = read(temporary, model)
            difference = max(_difference(model, opened, sample(count), kind) for count in BATCHES)
        except (UserError, OSError):
            raise
        except Exception as error:  # whatever exporters and runtimes say to a network that is not ours
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise UserError(f"the {part} cannot be written as {kind}: {reason:.300}") from error
    write_json(card, describe(model, sample(2), kind, out.name))
    print(f"Compared with {model.checkpoint}: equal to {difference:.1g}", file=sys.stderr)
    print(f"{path_from_here(out)}\n{path_from_here(card)}")


def load_part(
    part: str, place: str | Path, allow_targets: Sequence[str] = ()
) -> tuple[TrainedModel, Callable[[int], Tensor]]:
    """A part of a run, and a function that draws so many inputs of it, the same ones each time."""
    load = {"encoder": load_encoder, "classifier": load_classifier}.get(part, load_autoencoder)
    whole = load(place, allow_targets)
    how = whole.preprocessing

    def images(count: int) -> Tensor:
        chance = torch.Generator().manual_seed(count)
        return torch.rand(count, how.channels, how.image_size, how.image_size, generator=chance)

    if part != "decoder":
        return whole, images
    decoder = TrainedModel("decoder", whole.checkpoint, decoder=whole.decoder)
    return decoder, lambda count: whole.encoder(images(count))


def describe(model: TrainedModel, inputs: Tensor, kind: str, name: str) -> dict[str, Any]:
    """The card: what goes in, what comes out, where it is from."""
    takes, gives = PARTS[model.part]
    source, outputs = model.checkpoint, model(inputs)

    def tensor(word: str, shape: Any) -> dict[str, Any]:
        values = None if word == "latents" else [0, 1]
        return {"name": word, "shape": ["batch", *shape[1:]], "dtype": "float32", "range": values}

    return {
        "file": name,
        "part": model.part,
        "format": kind,
        "input": tensor(takes, inputs.shape),
        "output": tensor(gives, outputs.shape),
        "classes": list(model.classes) if gives == "probabilities" else None,
        "preprocessing": model.preprocessing.described() if takes == "images" else None,
        "network": {
            n: source.hyper_parameters[n] for n, _ in model.named_children() if source.hyper_parameters.get(n)
        },
        "run": source.run,
        "checkpoint_sha256": hashlib.sha256(source.path.read_bytes()).hexdigest(),
        "noise": source.hyper_parameters.get("noise"),
        "metrics": source.metrics,
        "lightning-dae": dae.__version__,
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep exporters from telling about their own code."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _difference(model: TrainedModel, opened: Callable[[Tensor], Tensor], inputs: Tensor, kind: str) -> float:
    expected, found = model(inputs), opened(inputs)
    largest = float((found - expected).abs().max()) if found.shape == expected.shape else float("inf")
    if not largest <= TOLERANCE * max(1.0, float(expected.abs().max())):  # NaN neither
        raise UserError(
            f"the {model.part} as {kind} does not compute what the original does: for a batch of "
            f"{len(inputs)} it differs by {largest:.2g}, at most {TOLERANCE:g} expected; nothing is written"
        )
    return largest


def _shapes() -> tuple[dict[int, Dim]]:
    return ({0: Dim("batch", min=1)},)


def _write_onnx(model: TrainedModel, inputs: Tensor, path: Path) -> None:
    takes, gives = PARTS[model.part]
    names: dict[str, Any] = {"input_names": [takes], "output_names": [gives], "dynamic_shapes": _shapes()}
    program = torch.onnx.export(model, (inputs,), dynamo=True, external_data=False, verbose=False, **names)
    assert program is not None
    path.write_bytes(program.model_proto.SerializeToString())


def _read_onnx(path: Path, model: TrainedModel) -> Callable[[Tensor], Tensor]:
    session = import_module("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda inputs: torch.from_numpy(session.run(None, {PARTS[model.part][0]: inputs.numpy()})[0])


def _write_torch(model: TrainedModel, inputs: Tensor, path: Path) -> None:
    file = BytesIO()
    torch.export.save(torch.export.export(model, (inputs,), dynamic_shapes=_shapes()), file)
    path.write_bytes(file.getvalue())


def _read_torch(path: Path, model: TrainedModel) -> Callable[[Tensor], Tensor]:
    return torch.export.load(BytesIO(path.read_bytes())).module()


def _write_safetensors(model: TrainedModel, inputs: Tensor, path: Path) -> None:
    # It takes neither the layout of images for that of weights, nor one tensor for two.
    tensors = {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}
    path.write_bytes(import_module("safetensors.torch").save(tensors, {"format": "pt"}))


def _read_safetensors(path: Path, model: TrainedModel) -> Callable[[Tensor], Tensor]:
    fresh = copy.deepcopy(model)
    for tensor in fresh.state_dict().values():
        tensor.zero_()
    fresh.load_state_dict(import_module("safetensors.torch").load(path.read_bytes()))
    return fresh


Write = Callable[[TrainedModel, Tensor, Path], None]
Read = Callable[[Path, TrainedModel], Callable[[Tensor], Tensor]]
CONVERSIONS: dict[str, tuple[Write, Read]] = {
    "onnx": (_write_onnx, _read_onnx),
    "torch_export": (_write_torch, _read_torch),
    "safetensors": (_write_safetensors, _read_safetensors),
}
