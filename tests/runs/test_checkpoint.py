from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dae.models.networks import ConvDecoder, ConvEncoder
from dae.runs.checkpoint import (
    CheckpointError,
    content_hash,
    load_autoencoder,
    load_encoder,
    read,
    warm_start,
    write_content,
)

ENCODER = {
    "_target_": "dae.models.networks.ConvEncoder",
    "in_channels": 1,
    "image_size": 28,
    "widths": [4, 3, 2],
}


PREPROCESSED = {"preprocessing": {"image_size": 28, "channels": 1, "resize": "fill"}}


def tensors() -> dict[str, Tensor]:
    return {f"encoder.{name}": tensor for name, tensor in ConvEncoder(1, 28, (4, 3, 2)).state_dict().items()}


def save(folder: Path, state_dict: dict[str, Tensor] | None = None, encoder: Any = ENCODER) -> Path:
    file = folder / "dae" / "best.ckpt"
    file.parent.mkdir(parents=True, exist_ok=True)
    described = {**PREPROCESSED, "encoder": encoder, "run": "outputs/x"}
    state = tensors() if state_dict is None else state_dict
    write_content(file, {"state_dict": state, "hyper_parameters": described})
    return file


def test_an_encoder_is_rebuilt_from_the_file_alone(tmp_path):
    wanted = tensors()
    file = save(tmp_path, {**wanted, "decoder.weight": torch.zeros(3)})
    for place in (file, tmp_path, file.parent):
        encoder, checkpoint = load_encoder(place)
        assert checkpoint.path == file
        assert encoder.state_dict().keys() == {name.removeprefix("encoder.") for name in wanted}
        assert content_hash({f"encoder.{n}": t for n, t in encoder.state_dict().items()}) == content_hash(
            wanted
        )


DECODER = {**ENCODER, "_target_": "dae.models.networks.ConvDecoder", "out_channels": 1}
del DECODER["in_channels"]


def save_autoencoder(folder: Path, decoder: Any = DECODER) -> tuple[Path, dict[str, Tensor]]:
    file = folder / "best.ckpt"
    decoded = ConvDecoder(out_channels=1, image_size=28, widths=(4, 3, 2)).state_dict()
    state = {**tensors(), **{f"decoder.{name}": tensor for name, tensor in decoded.items()}}
    described = {**PREPROCESSED, "encoder": ENCODER, "decoder": decoder}
    write_content(file, {"state_dict": state, "hyper_parameters": described})
    return file, state


def test_an_autoencoder_is_rebuilt_from_the_file_alone(tmp_path):
    file, state = save_autoencoder(tmp_path)
    encoder, decoder, checkpoint = load_autoencoder(file)
    assert checkpoint.path == file
    parts = {"encoder": encoder, "decoder": decoder}
    found = {f"{part}.{name}": t for part in parts for name, t in parts[part].state_dict().items()}
    assert content_hash(found) == content_hash(state)


@pytest.mark.parametrize(
    ("decoder", "words"),
    [
        (None, "holds no decoder; expected a checkpoint of stage 1"),
        (
            {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1},
            "asks to build torch.nn.Linear",
        ),
        ({**DECODER, "widths": [4, 3, 3]}, "misfit      decoder."),
        ({**DECODER, "width": 4}, "its decoder does not fit dae.models.networks.ConvDecoder"),
    ],
)
def test_the_decoder_is_checked_as_the_encoder_is(tmp_path, decoder, words):
    file, _ = save_autoencoder(tmp_path, decoder)
    with pytest.raises(CheckpointError) as caught:
        load_autoencoder(file)
    assert words in str(caught.value)


def refusal(*arguments: Any, **named: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_encoder(*arguments, **named)
    return str(caught.value)


def test_a_renamed_a_removed_and_a_misfit_are_listed_together(tmp_path):
    state = tensors()
    state["encoder.blocks.0.convolution.weight"] = state.pop("encoder.blocks.0.conv.weight")
    del state["encoder.blocks.1.conv.bias"]
    state["encoder.blocks.2.conv.weight"] = torch.zeros(2, 3, 5, 5)
    text = refusal(save(tmp_path, state))
    assert "missing     encoder.blocks.0.conv.weight 4x1x3x3" in text
    assert "missing     encoder.blocks.1.conv.bias 3" in text
    assert "unexpected  encoder.blocks.0.convolution.weight 4x1x3x3" in text
    assert "misfit      encoder.blocks.2.conv.weight 2x3x5x5 floats, expected 2x3x3x3" in text
    assert str(tmp_path) in text
    assert text.count("encoder.") == 4


def test_files_that_are_no_checkpoint_of_ours(tmp_path):
    file = tmp_path / "x.ckpt"
    file.write_bytes(b"not a checkpoint")
    assert "x.ckpt is damaged, or no checkpoint of ours: it is no checkpoint of plain values" in refusal(file)
    torch.save({"state_dict": {}, "hyper_parameters": Path}, file)
    assert "it is no checkpoint of plain values" in refusal(file), "weights_only"
    torch.save({"weights": {}}, file)
    assert "is no checkpoint of this version: format: Field required" in refusal(file)
    assert "holds no encoder" in refusal(save(tmp_path, {}, encoder=None))


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "torch.nn.Linear",
        "dae.models.networks.nn.Linear",
        "dae.models.networks.keras_init",
        "dae.models.networks.Sequence",
        "dae.models.optimization.Optimizer",
        "dae.models_of_somebody.Encoder",
        "dae.models.nothing.Encoder",
    ],
)
def test_a_file_may_only_name_networks_of_ours(tmp_path, target):
    text = refusal(save(tmp_path, encoder={"_target_": target}))
    assert target in text
    assert any(words in text for words in ("are built", "No module named", "does not fit"))


def test_another_package_can_be_allowed(tmp_path):
    linear = {"_target_": "torch.nn.modules.linear.Linear", "in_features": 3, "out_features": 2}
    file = save(tmp_path, {"encoder.weight": torch.ones(2, 3), "encoder.bias": torch.ones(2)}, linear)
    assert "'allow_targets=[torch]'" in refusal(file)
    encoder, _ = load_encoder(file, allow_targets=["torch"])
    assert encoder(torch.ones(1, 3)).tolist() == [[4.0, 4.0]]


def test_a_description_that_does_not_fit_its_class(tmp_path):
    assert "encoder.depth" in refusal(save(tmp_path, encoder={**ENCODER, "depth": 3}))


def test_warm_start_is_strict(tmp_path):
    module = torch.nn.ModuleDict({"encoder": ConvEncoder(1, 28, (4, 3, 2))})
    file = save(tmp_path)
    warm_start(module, file)
    assert content_hash(module.state_dict()) == content_hash(read(file).tensors)
    with pytest.raises(CheckpointError, match=r"misfit      encoder\.blocks\.0\.conv\.weight"):
        warm_start(torch.nn.ModuleDict({"encoder": ConvEncoder(1, 28, (5, 3, 2))}), file)
