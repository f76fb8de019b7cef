"""A part of a trained model as a file for other programs, which is compared with it before it counts."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor
from torch.export import Dim

from dae.errors import UserError
from dae.use.parts import Part

# Compared in batches of so many; outputs may differ by so much of the largest of them, or of 1.
BATCHES = (1, 2, 7)
TOLERANCE = 1e-5
CARD = "card"  # under this name the description is in the file itself


def write_export(part: Part, kind: str, path: Path, card: str) -> float:
    """Write a file, open it again, and compare what it computes with the part itself.

    Args:
        part: What to write.
        kind: One of ``FORMATS``, its packages installed.
        path: The file; whoever calls this deletes it after an error.
        card: The description that is stored in it.

    Returns:
        The largest difference found.

    Raises:
        UserError: The network cannot be written in this format, or computes something else from the file.
        OSError: The file cannot be written.
    """
    to_content, to_function = CONVERSIONS[kind]
    with _quiet():
        try:
            path.write_bytes(to_content(part, card))
            opened = to_function(path, part)
            return max(_difference(part, opened, kind, count) for count in BATCHES)
        except (UserError, OSError):
            raise
        except Exception as error:  # whatever exporters and runtimes say to a network that is not ours
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            network = type(getattr(part.model, "encoder", part.model)).__name__
            hint = "" if kind == "safetensors" else "\n      its weights alone: --format safetensors"
            what = f"the {part.name} ({network}) cannot be written as {kind}"
            raise UserError(f"{what}: {reason:.300}{hint}") from error


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


def _difference(part: Part, opened: Callable[[Tensor], Tensor], kind: str, count: int) -> float:
    inputs = part.sample(count)
    expected, found = part.model(inputs), opened(inputs)
    largest = float((found - expected).abs().max()) if found.shape == expected.shape else float("inf")
    if not largest <= TOLERANCE * max(1.0, float(expected.abs().max())):  # NaN neither
        raise UserError(
            f"the {part.name} as {kind} does not compute what the original does: for a batch of {count} the "
            f"{part.gives} differ by {largest:.2g}, at most {TOLERANCE:g} expected; nothing is written"
        )
    return largest


def _batches(part: Part) -> tuple[tuple[Tensor], tuple[dict[int, Dim]]]:
    # A batch of one would be taken for a constant.
    return (part.sample(2),), ({0: Dim("batch", min=1)},)


def _onnx(part: Part, card: str) -> bytes:
    inputs, shapes = _batches(part)
    program = torch.onnx.export(
        part.model,
        inputs,
        dynamo=True,
        external_data=False,
        verbose=False,
        input_names=[part.takes],
        output_names=[part.gives],
        dynamic_shapes=shapes,
    )
    assert program is not None
    proto = program.model_proto
    proto.metadata_props.add(key=CARD, value=card)
    return proto.SerializeToString()


def _opened_onnx(path: Path, part: Part) -> Callable[[Tensor], Tensor]:
    session = import_module("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda inputs: torch.from_numpy(session.run(None, {part.takes: inputs.numpy()})[0])


def _torch_export(part: Part, card: str) -> bytes:
    inputs, shapes = _batches(part)
    file = BytesIO()
    program = torch.export.export(part.model, inputs, dynamic_shapes=shapes)
    torch.export.save(program, file, extra_files={f"{CARD}.json": card})
    return file.getvalue()


def _opened_torch_export(path: Path, part: Part) -> Callable[[Tensor], Tensor]:
    return torch.export.load(BytesIO(path.read_bytes())).module()


def _safetensors(part: Part, card: str) -> bytes:
    # It takes neither the layout of images for that of weights, nor one tensor for two.
    tensors = {name: tensor.contiguous().clone() for name, tensor in part.model.state_dict().items()}
    return import_module("safetensors.torch").save(tensors, {"format": "pt", CARD: card})


def _opened_safetensors(path: Path, part: Part) -> Callable[[Tensor], Tensor]:
    fresh = copy.deepcopy(part.model)
    for tensor in fresh.state_dict().values():
        tensor.zero_()
    fresh.load_state_dict(import_module("safetensors.torch").load(path.read_bytes()))
    return fresh


# A part and its card to the bytes of a file; a file, and the part that it holds, to what it computes.
CONVERSIONS: dict[
    str, tuple[Callable[[Part, str], bytes], Callable[[Path, Part], Callable[[Tensor], Tensor]]]
] = {
    "onnx": (_onnx, _opened_onnx),
    "torch_export": (_torch_export, _opened_torch_export),
    "safetensors": (_safetensors, _opened_safetensors),
}
