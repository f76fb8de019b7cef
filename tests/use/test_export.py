from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dae.cli import main
from dae.runs import checkpoint
from dae.use.export import CONVERSIONS, load_part
from dae.use.models import PARTS
from outcome import BRIEF, Train


@pytest.fixture
def run(finished: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = finished(*BRIEF).folder
    monkeypatch.chdir(tmp_path)
    return folder


def by_hand(run: Path, part: str, inputs: torch.Tensor) -> torch.Tensor:
    """What a part computes, from the networks alone."""
    with torch.no_grad():
        if part == "classifier":
            encoder, head, _ = checkpoint.load_classifier(run)
            return head(encoder(inputs)).softmax(1)
        encoder, decoder, _ = checkpoint.load_autoencoder(run)
        latents = encoder(inputs) if part != "decoder" else inputs
        return latents if part == "encoder" else decoder(latents).sigmoid()


def inputs_of(part: str, count: int = 3) -> torch.Tensor:
    return torch.rand(count, *((16, 4, 4) if part == "decoder" else (1, 28, 28)))


def export(run: Path, part: str, kind: str, out: str) -> int:
    return main(["export", str(run), "--part", part, "--format", kind, "--out", out])


def test_torch_export_and_its_card(run, capsys):
    assert export(run, "classifier", "torch_export", "c.pt2") == 0
    out, told = capsys.readouterr()
    assert out == "c.pt2\nc.pt2.json\n"
    assert told.startswith("Compared with ")
    network = torch.export.load("c.pt2").module()
    for count in (1, 5):
        inputs = inputs_of("classifier", count)
        assert torch.allclose(network(inputs), by_hand(run, "classifier", inputs), atol=1e-6)
    card = json.loads(Path("c.pt2.json").read_text())
    images = {"name": "images", "shape": ["batch", 1, 28, 28], "dtype": "float32", "range": [0, 1]}
    assert card["input"] == images
    assert (card["output"]["shape"], card["classes"]) == (["batch", 10], list("0123456789"))
    assert card["preprocessing"] == {"image_size": 28, "channels": 1, "fit": "pad", "background": "black"}
    assert card["run"] == run.name


@pytest.mark.parametrize("part", PARTS)
def test_safetensors(run, part):
    read = pytest.importorskip("safetensors.torch")
    assert export(run, part, "safetensors", "p.safetensors") == 0
    model, sample = load_part(part, run)
    tensors = read.load_file("p.safetensors")
    assert all(torch.equal(tensors[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.allclose(model(sample(3)), by_hand(run, part, sample(3)))
    card = json.loads(Path("p.safetensors.json").read_text())
    assert {*card["network"]} == {name.split(".")[0] for name in tensors}


@pytest.mark.extras
@pytest.mark.parametrize("part", PARTS)
def test_onnx(run, part):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    assert export(run, part, "onnx", "p.onnx") == 0
    session = runtime.InferenceSession("p.onnx")
    card = json.loads(Path("p.onnx.json").read_text())
    for count in (1, 5):
        inputs = inputs_of(part, count)
        (found,) = session.run([card["output"]["name"]], {card["input"]["name"]: inputs.numpy()})
        assert np.allclose(found, by_hand(run, part, inputs).numpy(), atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_file_that_computes_something_else_is_not_left(run, capsys, monkeypatch, size):
    def wrong_for_one(path, model):
        return lambda images: images if len(images) == size else model(images)

    faulty = (lambda model, inputs, path: path.write_bytes(b"a network"), wrong_for_one)
    monkeypatch.setitem(CONVERSIONS, "torch_export", faulty)
    assert export(run, "encoder", "torch_export", "d.pt2") == 1
    out, told = capsys.readouterr()
    assert f"does not compute what the original does: for a batch of {size} it differs by inf" in told
    assert out == ""
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("RUN --part encoder --format onnx --out e.onxx", 2, "ends in .onxx, expected .onnx\n      --out"),
        ("RUN --part encoder --format torch_export --out old.pt2", 2, "old.pt2: is there already"),
        ("RUN --part encoder --format torch_export --out e.pt2", 2, "e.pt2.json: is there already"),
        ("RUN --part encoder --format onnx --out e.onnx", 1,
         "onnx and onnxscript and onnxruntime, not installed here: pip install -e '.[export]'"),
        ("RUN/classifier/best.ckpt --part decoder --format torch_export --out d.pt2", 1, "holds no decoder"),
        ("RUN/dae/best.ckpt --part classifier --format torch_export --out d.pt2", 1, "holds no classifier"),
        ("nowhere --part encoder --format torch_export --out d.pt2", 1, "nowhere: no such file or folder"),
    ],
)  # fmt: skip
def test_what_is_refused_leaves_nothing(run, capsys, monkeypatch, arguments, code, words):
    monkeypatch.setattr("dae.use.writing.find_spec", lambda name: None)
    mine = {"old.pt2": "mine", "e.pt2.json": "mine"}
    for name, text in mine.items():
        Path(name).write_text(text)
    assert main(["export", *arguments.replace("RUN", str(run)).split()]) == code
    assert words in capsys.readouterr().err
    assert {file.name: file.read_text() for file in Path().iterdir()} == mine
