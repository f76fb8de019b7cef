"""What somebody has to know who is given an exported file: what goes in, what comes out, where it is from."""

from __future__ import annotations

import hashlib
import platform
from importlib import import_module
from typing import Any

import dae
from dae.data.image_file import Preprocessing
from dae.runs.checkpoint import Checkpoint
from dae.runs.records import read_or_empty, read_stage
from dae.text import format_figure, markdown, path_from_here
from dae.use.export import BATCHES, TOLERANCE
from dae.use.formats import FORMATS
from dae.use.parts import Part

FIT = {
    "pad": "Scale it, bilinear with antialiasing, until its longer side has {0} pixels, and lay it in the "
    "middle of a square of {0} x {0}, {1}.",
    "crop": "Cut the largest square out of its middle and scale that, bilinear with antialiasing, to {0} x "
    "{0}.",
    "stretch": "Scale it, bilinear with antialiasing, to {0} x {0}, whatever its proportions.",
}
# What the networks themselves do not compute.
LAST = {
    "images": ".sigmoid()",
    "reconstructions": ".sigmoid()",
    "probabilities": ".softmax(1)",
    "latents": "",
}


def describe(part: Part, kind: str, name: str) -> dict[str, Any]:
    """The card as plain values.

    Args:
        part: What is exported.
        kind: One of ``FORMATS``.
        name: Of the file.
    """
    inputs = part.sample(2)
    outputs = part.model(inputs)
    source = part.model.checkpoint
    described = {
        "file": name,
        "part": part.name,
        "format": kind,
        "input": _tensor(part.takes, inputs.shape),
        "output": _tensor(part.gives, outputs.shape),
        "classes": list(part.model.classes) if part.gives == "probabilities" else None,
        "preprocessing": None,
        "network": _networks(part),
        "checked": {"batches": list(BATCHES), "tolerance": TOLERANCE},
        "origin": _origin(source),
        "versions": _versions(kind),
        "use": _snippet(part, kind, name, inputs.shape),
    }
    if part.takes == "images":
        how = part.model.preprocessing
        described["preprocessing"] = {**how.described(), "steps": steps(how)}
    return described


def _tensor(name: str, shape: Any) -> dict[str, Any]:
    values = None if name == "latents" else [0, 1]
    return {"name": name, "shape": ["batch", *shape[1:]], "dtype": "float32", "range": values}


def steps(how: Preprocessing) -> list[str]:
    """What becomes of a file, in words, so that it can be done by another program."""
    colour = "grey (0.299 R + 0.587 G + 0.114 B)" if how.channels == 1 else "RGB"
    return [
        "Of several frames or pages take the first; turn it upright as its EXIF orientation says.",
        f"Lay it on {how.background} if it is transparent.",
        f"Convert it to {colour} of 8 bits: grey levels of 16 bits are divided by 257, floats multiplied by "
        "255, colours of 16 bits keep their upper 8.",
        FIT[how.fit].format(how.image_size, how.background),
        "Divide by 255: float32 in [0, 1]; the axes are batch, channel, row, column.",
    ]


def _networks(part: Part) -> dict[str, Any]:
    """The classes of the networks and their arguments."""
    described = part.model.checkpoint.hyper_parameters
    names = [name for name, _ in part.model.named_children()]
    return {name: described[name] for name in names if described.get(name)}


def _origin(source: Checkpoint) -> dict[str, Any]:
    """The run, the file and what was measured of it."""
    stage = read_or_empty(read_stage, source.path.parent) if source.path.name == "best.ckpt" else {}
    described = source.hyper_parameters
    return {
        "run": described.get("run"),
        "checkpoint": path_from_here(source.path),
        "sha256": hashlib.sha256(source.path.read_bytes()).hexdigest(),
        "epochs": source.epochs,
        "pretraining": source.pretraining,
        "noise": described.get("noise"),
        "metrics": stage.get("metrics") or source.metrics,
    }


def _versions(kind: str) -> dict[str, str]:
    packages = {name: str(import_module(name).__version__) for name in ("torch", *FORMATS[kind].packages)}
    return {"lightning-dae": dae.__version__, "python": platform.python_version(), **packages}


def _snippet(part: Part, kind: str, name: str, shape: Any) -> list[str]:
    """Lines of Python that run the file from where it lies."""
    size = ", ".join(map(str, shape[1:]))
    if kind == "onnx":
        return [
            "import numpy, onnxruntime",
            f"session = onnxruntime.InferenceSession({name!r})",
            f"{part.takes} = numpy.zeros((2, {size}), numpy.float32)",
            f"outputs = session.run(None, {{{part.takes!r}: {part.takes}}})[0]",
        ]
    if kind == "torch_export":
        return [
            "import torch",
            f"network = torch.export.load({name!r}).module()",
            f"{part.takes} = torch.zeros(2, {size})",
            f"outputs = network({part.takes})",
        ]
    networks = _networks(part)
    applied = f"torch.zeros(2, {size})"
    for each in networks:
        applied = f"networks.{each}({applied})"
    built = ", ".join(f"{each!r}: {_call(described)}" for each, described in networks.items())
    modules = sorted({described["_target_"].rpartition(".")[0] for described in networks.values()})
    return [
        f"import torch, safetensors.torch, {', '.join(modules)}",
        f"networks = torch.nn.ModuleDict({{{built}}}).eval()",
        f"networks.load_state_dict(safetensors.torch.load_file({name!r}))",
        f"outputs = {applied}{LAST[part.gives]}",
    ]


def _call(description: dict[str, Any]) -> str:
    values = {key: value for key, value in description.items() if key != "_target_"}
    return f"{description['_target_']}({', '.join(f'{key}={value!r}' for key, value in values.items())})"


def card_text(card: dict[str, Any]) -> str:
    """The card in Markdown."""
    origin, checked, noise = card["origin"], card["checked"], card["origin"]["noise"]
    facts = {"run": origin["run"], "checkpoint": origin["checkpoint"], "SHA-256": origin["sha256"]}
    facts |= {"epochs": origin["epochs"], "noise": noise and _call(noise)}
    facts |= {name: format_figure(value) for name, value in origin["metrics"].items()}
    facts |= card["versions"]
    lines = [f"# {markdown(card['file'])}", "", f"{card['part'].capitalize()}, as {card['format']}.", ""]
    lines += ["| | name | shape | type | range |", "|---|---|---|---|---|"]
    for word in ("input", "output"):
        each = card[word]
        shape, values = " x ".join(map(str, each["shape"])), "0 to 1" if each["range"] else "any"
        lines.append(f"| {word} | {each['name']} | {shape} | {each['dtype']} | {values} |")
    lines += ["", "```python", *card["use"], "```", ""]
    if card["preprocessing"]:
        lines += ["## From a file to its input", ""]
        lines += [f"{number}. {step}" for number, step in enumerate(card["preprocessing"]["steps"], 1)]
    else:
        lines += ["Its input is what the encoder of the same checkpoint gives."]
    if card["classes"] is not None:
        lines += ["", f"## Classes, in the order of the {card['output']['name']}", ""]
        lines += [f"* {number}: {markdown(name)}" for number, name in enumerate(card["classes"])]
    lines += ["", "## Where it comes from", ""]
    lines += [f"* {word}: {markdown(str(fact))}" for word, fact in facts.items() if fact is not None]
    batches = ", ".join(map(str, checked["batches"]))
    words = "Opened again and compared with the checkpoint on random inputs, in batches of"
    lines += ["", f"{words} {batches}: equal to {checked['tolerance']:g}."]
    return "\n".join(lines) + "\n"
