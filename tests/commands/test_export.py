from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dae
from dae.cli import main
from dae.data.image_file import Preprocessing
from dae.errors import UserError
from dae.runs import checkpoint
from dae.use.card import steps
from dae.use.export import CONVERSIONS, write_export
from dae.use.parts import Part, load_part
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


def outputs_of_card(name: str) -> np.ndarray:
    """What its own lines compute, of zeros."""
    variables: dict[str, Any] = {}
    exec("\n".join(json.loads(Path(f"{name}.json").read_text())["use"]), variables)
    outputs = variables["outputs"]
    return outputs.detach().numpy() if isinstance(outputs, torch.Tensor) else outputs


def test_torch_export(run, capsys):
    assert (
        main(["export", str(run), "--part", "classifier", "--format", "torch_export", "--out", "c.pt2"]) == 0
    )
    out, told = capsys.readouterr()
    assert out == "c.pt2\nc.pt2.json\nc.pt2.md\n"
    assert told.startswith("Compared with ")
    network = torch.export.load("c.pt2").module()
    for count in (1, 5):
        inputs = inputs_of("classifier", count)
        assert torch.allclose(network(inputs), by_hand(run, "classifier", inputs), atol=1e-6)
    card = json.loads(Path("c.pt2.json").read_text())
    assert card["input"] == {
        "name": "images",
        "shape": ["batch", 1, 28, 28],
        "dtype": "float32",
        "range": [0, 1],
    }
    assert (card["output"]["shape"], card["classes"]) == (["batch", 10], list("0123456789"))
    assert card["preprocessing"]["background"] == "black"
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    assert card["origin"]["metrics"]["classifier/test/accuracy"] == metrics["classifier/test/accuracy"]
    assert outputs_of_card("c.pt2").shape == (2, 10)
    text = Path("c.pt2.md").read_text()
    assert "| input | images | batch x 1 x 28 x 28 | float32 | 0 to 1 |" in text
    assert "SHA-256" in text


@pytest.mark.parametrize("part", ["encoder", "decoder", "autoencoder", "classifier"])
def test_safetensors(run, part):
    """Its card builds the network and its last step."""
    read = pytest.importorskip("safetensors")
    name = f"{part}.safetensors"
    assert main(["export", str(run), "--part", part, "--format", "safetensors", "--out", name]) == 0
    zeros = torch.zeros_like(inputs_of(part, 2))
    assert np.allclose(outputs_of_card(name), by_hand(run, part, zeros).numpy(), atol=1e-6)
    with read.safe_open(name, "pt") as file:
        assert json.loads(file.metadata()["card"]) == json.loads(Path(f"{name}.json").read_text())


@pytest.mark.extras
@pytest.mark.parametrize("part", ["encoder", "decoder", "autoencoder", "classifier"])
def test_onnx(run, part, capsys):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    assert main(["export", str(run), "--part", part, "--format", "onnx", "--out", "p.onnx"]) == 0
    out, told = capsys.readouterr()
    assert out == "p.onnx\np.onnx.json\np.onnx.md\n"
    assert told.count("\n") == 1
    session = runtime.InferenceSession("p.onnx")
    card = json.loads(Path("p.onnx.json").read_text())
    for count in (1, 5):
        inputs = inputs_of(part, count)
        (found,) = session.run([card["output"]["name"]], {card["input"]["name"]: inputs.numpy()})
        assert np.allclose(found, by_hand(run, part, inputs).numpy(), atol=1e-5)
    assert outputs_of_card("p.onnx").shape[1:] == tuple(card["output"]["shape"][1:])
    assert json.loads(session.get_modelmeta().custom_metadata_map["card"]) == card


@pytest.mark.parametrize("part", ["encoder", "decoder", "autoencoder", "classifier"])
def test_a_part_gives_what_its_networks_do(run, part):
    """With the sigmoid or the softmax inside."""
    inputs = inputs_of(part)
    assert torch.allclose(load_part(part, run).model(inputs), by_hand(run, part, inputs))


def test_a_file_that_computes_something_else_is_not_left(run, capsys, monkeypatch):
    def without_sigmoid(path: Path, part: Part):
        assert path.read_bytes() == b"a network"
        encoder, decoder, _ = checkpoint.load_autoencoder(run)
        return lambda images: decoder(encoder(images)).detach()

    faulty = (lambda part, card: b"a network", without_sigmoid)
    monkeypatch.setitem(CONVERSIONS, "torch_export", faulty)
    assert (
        main(["export", str(run), "--part", "autoencoder", "--format", "torch_export", "--out", "d.pt2"]) == 1
    )
    out, told = capsys.readouterr()
    assert "the autoencoder as torch_export does not compute what the original does" in told
    assert out == ""
    assert not list(Path().iterdir())


@pytest.mark.parametrize("size", [1, 2, 7])
def test_each_size_of_a_batch_is_tried(run, size, monkeypatch):
    def wrong_for_one(path: Path, part: Part):
        return lambda images: images if len(images) == size else part.model(images)

    monkeypatch.setitem(CONVERSIONS, "torch_export", (lambda part, card: b"", wrong_for_one))
    with pytest.raises(UserError, match=f"for a batch of {size} the latents differ by inf"):
        write_export(load_part("encoder", run), "torch_export", Path("x"), "{}")


class _Undecided(torch.nn.Module):
    def forward(self, images):
        return images if images.sum() > 0 else -images


def test_a_network_that_cannot_be_exported_is_told_of(run):
    encoder = dae.load_encoder(run)
    encoder.encoder = _Undecided()
    part = Part("encoder", encoder, "images", "latents", lambda count: torch.ones(count, 1, 8, 8))
    with pytest.raises(
        UserError, match=r"the encoder \(_Undecided\) cannot be written as torch_export: .*\n.*safe"
    ):
        write_export(part, "torch_export", Path("x"), "{}")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("RUN --part encoder --format onnx --out e.onxx", 2, "ends in .onxx, expected .onnx\n      --out"),
        ("RUN --part encoder --format torch_export --out old.pt2", 2, "old.pt2: is there already"),
        ("RUN --part encoder --format torch_export --out new.pt2", 2, "new.pt2.md: is there already"),
        ("RUN --part encoder --format onnx --out e.onnx", 1,
         "onnx and onnxscript and onnxruntime, not installed here: pip install -e '.[export]'"),
        ("RUN --part decoder --format torch_export --out d.pt2 --stage dae", 2, "for --part encoder alone"),
        ("RUN/classifier/best.ckpt --part decoder --format torch_export --out d.pt2", 1, "holds no decoder"),
        ("RUN/dae/best.ckpt --part classifier --format torch_export --out d.pt2", 1, "holds no classifier"),
        ("nowhere --part encoder --format torch_export --out d.pt2", 1, "nowhere: no such file or folder"),
        ("RUN --part encoder --format torch_export --out a/d.pt2", 2, "there is no folder a"),
    ],
)  # fmt: skip
def test_what_is_refused_leaves_nothing(run, capsys, monkeypatch, arguments, code, words):
    monkeypatch.setattr("dae.commands.outputs.find_spec", lambda name: None)
    for name in ("old.pt2", "new.pt2.md"):
        Path(name).write_text("mine")
    assert main(["export", *arguments.replace("RUN", str(run)).split()]) == code
    assert words in capsys.readouterr().err
    assert {file.name: file.read_text() for file in Path().iterdir()} == {
        "old.pt2": "mine",
        "new.pt2.md": "mine",
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            "--part encodr --format onnx",
            "expected encoder, decoder, autoencoder, classifier; the nearest is encoder",
        ),
        ("--part encoder --format onxx", "expected onnx, torch_export, safetensors; the nearest is onnx"),
    ],
)
def test_a_misspelt_word(capsys, arguments, words):
    with pytest.raises(SystemExit, match="2"):
        main(["export", "run", *arguments.split(), "--out", "x.onnx"])
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fit", "words"),
    [("pad", "middle of a square of 32 x 32, white"), ("crop", "largest"), ("stretch", "proportions")],
)
def test_the_steps_say_how_files_are_made_to_fit(fit, words):
    told = steps(Preprocessing(32, 3, fit, "white"))
    assert words in told[3]
    assert "RGB" in told[2]
