"""Files of weights that are hostile, damaged, exchanged, or that belong to a fit which was stopped."""

from __future__ import annotations

import copy
import csv
import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_lightning.loggers import CSVLogger

from dae.errors import ConfigError, UserError
from dae.models.networks import ConvDecoder, ConvEncoder
from dae.run import latent_shape
from dae.runs.checkpoint import (
    CheckpointError,
    content_hash,
    find_checkpoint,
    load_autoencoder,
    load_encoder,
    read,
    warm_start,
)
from dae.runs.checkpoint_file import (
    FORMAT,
    DamagedCheckpointError,
    content_digest,
    read_content,
    write_content,
)
from dae.runs.newest_checkpoint import newest_whole_checkpoint
from dae.runs.resume import reopen_run
from dae.runs.stage_result import StageResult, finished_stage
from dae.training.checkpointing import StageCheckpoint, refuse_other_options
from dae.training.early_stopping import EarlyStopping
from dae.training.loggers import keep_rows
from helpers import ONE_PASS
from outcome import Outcome, Train

WIDTHS = [2, 2, 2]
CALL = "__import__('os').system('touch PWNED')"


def make_content() -> dict[str, Any]:
    """All that a checkpoint of stage 1 holds, of a network of a few numbers."""
    torch.manual_seed(0)
    parts = {"encoder": ConvEncoder(1, 28, WIDTHS), "decoder": ConvDecoder(1, 28, WIDTHS)}
    tensors = {f"{part}.{name}": t for part in parts for name, t in parts[part].state_dict().items()}
    moments = {n: {"step": torch.tensor(3.0), "exp_avg": t / 2} for n, t in enumerate(tensors.values())}
    encoder = {
        "_target_": "dae.models.networks.ConvEncoder",
        "in_channels": 1,
        "image_size": 28,
        "widths": WIDTHS,
    }
    decoder = {
        "_target_": "dae.models.networks.ConvDecoder",
        "out_channels": 1,
        "image_size": 28,
        "widths": WIDTHS,
    }
    progress = {"current": {"started": 2, "processed": 2}}
    return {
        "epoch": 1,
        "global_step": 26,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": tensors,
        "loops": {"fit_loop": {"epoch_progress": progress}},
        "callbacks": {"StageCheckpoint": {"best_model_path": "/x/best.ckpt", "best": torch.tensor(0.4)}},
        "optimizer_states": [{"state": moments, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999)}]}],
        "lr_schedulers": [],
        "hyper_parameters": {
            "encoder": encoder,
            "decoder": decoder,
            "pretraining": "denoising",
            "run": "x",
            "classes": ["0", "1"],
        },
        "metrics": {"dae/val/loss": 0.4},
        "seconds": 0.9,
        "stopped": "",
        "epochs": 2,
    }


CONTENT = make_content()
DIGEST = content_digest(CONTENT)


def put(content: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy of the content with another value at ``path``."""
    changed = node = copy.deepcopy(content)
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return changed


def write(folder: Path, content: Any, with_digest: bool = True, name: str = "best.ckpt") -> Path:
    """A file of this content, by our own writer or as an older version has written it."""
    file = folder / name
    if with_digest:
        write_content(file, content)
    else:
        torch.save(content, file)
    return file


HUGE = torch.zeros(1).expand(10**10)


def write_if_we_can(folder: Path, content: Any, with_digest: bool = True) -> Path:
    """A file with a digest, but of what our own writer refuses, or only memory for 40 GB could hold."""
    if not any(value is HUGE for value in leaves(content)):
        with suppress(UserError):
            return write(folder, content, with_digest)
    return write(folder, content, with_digest=False)


def leaves(node: Any) -> Iterator[Any]:
    members: Any = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    yield node
    for member in members:
        yield from leaves(member)


def refusal(function: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        function(*arguments)
    return str(caught.value)


HAPPENED: list[str] = []
HARMFUL = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect")


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event in HARMFUL:
        HAPPENED.append(event)
    elif event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        HAPPENED.append(f"writes {arguments[0]}")


@contextmanager
def watched(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collects the processes, the files and the imports of the block that reading weights has no use for."""
    monkeypatch.chdir(place)
    files, modules = {*place.iterdir()}, {*sys.modules}
    HAPPENED.clear()
    seen: list[str] = []
    yield seen
    seen += HAPPENED
    seen += [f"file {file.name}" for file in {*place.iterdir()} - files]
    ours = ("dae", "torch", "pydantic", "annotated_types", "numpy", "encodings")
    seen += [f"import {name}" for name in {*sys.modules} - modules if name.split(".")[0] not in ours]


@pytest.fixture(scope="module", autouse=True)
def _hook() -> None:
    sys.addaudithook(_note)  # for the rest of the process: Python has no way to take one away


def open_all(file: Path, allow_targets: tuple[str, ...] = ()) -> None:
    """All that is ever done with the weights of a file."""
    load_autoencoder(file, allow_targets)
    parts = {"encoder": ConvEncoder(1, 28, WIDTHS), "decoder": ConvDecoder(1, 28, WIDTHS)}
    str(warm_start(torch.nn.ModuleDict(parts), file))


# What is in a description, what is allowed, and the words of the refusal.
DESCRIPTIONS: list[tuple[dict[str, Any], tuple[str, ...], str]] = [
    ({"widths": f'${{oc.create:{{_target_: sympy.sympify, a: "{CALL}"}}}}'}, (), "the interpolation"),
    ({"widths": ["${oc.env:HOME}", 2, 2]}, (), "the interpolation"),
    ({"widths": {"${x}": 1}}, (), "the interpolation"),
    ({"widths": [{"_target_": "os.system", "command": "touch PWNED"}, 2, 2]}, (), "asks to build os.system"),
    ({"_partial_": True}, (), "has the key _partial_"),
    ({"_args_": [1, 28]}, (), "has the key _args_"),
    ({"_recursive_": False}, (), "has the key _recursive_"),
    ({"_convert_": "all"}, (), "has the key _convert_"),
    ({"_target_": "os.system"}, (), "asks to build os.system"),
    ({"_target_": "os.system"}, ("",), "allow_targets: found ''"),
    ({"_target_": "os.system"}, (".",), "allow_targets: found '.'"),
    ({"_target_": "antigravity.Encoder"}, ("torch",), "asks to build antigravity.Encoder"),
    ({"_target_": "torch.__main__.Encoder"}, ("torch",), "asks to build torch.__main__"),
    ({"_target_": "dae.models..networks.ConvEncoder"}, (), "asks to build dae.models..networks"),
    ({"_target_": ["dae.models.networks.ConvEncoder"]}, (), "no _target_"),
    ({"_target_": "dae.models.networks.keras_init"}, (), "asks to build"),
    ({"width": [2, 2, 2]}, (), "no argument 'width'; the nearest is widths"),
    ({"widths": [2, 2]}, (), "widths is [2, 2], expected a list of 3"),
    ({"widths": "222"}, (), "widths is '222', expected a list"),
    ({"in_channels": True}, (), "in_channels is True, expected an integer > 0"),
    ({"image_size": 29}, (), "image_size is 29, expected an integer"),
    ({"widths": [10**9, 2, 2]}, (), "misshapen   encoder.blocks.0.conv.weight 2x1x3x3, expected 1000000000x"),
    ({"widths": [10**9] * 3}, (), "cannot be built"),
    ({"widths": [10**30, 2, 2]}, (), "is an integer of more than 64 bits"),
]


@pytest.mark.parametrize(("change", "allowed", "words"), DESCRIPTIONS)
def test_a_description_is_data(tmp_path, monkeypatch, change, allowed, words):
    described = {**CONTENT["hyper_parameters"]["encoder"], **change}
    file = write(tmp_path, put(CONTENT, ("hyper_parameters", "encoder"), described))
    with watched(tmp_path, monkeypatch) as seen:
        assert words in refusal(load_encoder, file, allowed)
    assert not seen


NAN = torch.full((2, 1, 3, 3), torch.nan)
WEIGHT = ("state_dict", "encoder.blocks.0.conv.weight")
FIELDS: list[tuple[tuple[Any, ...], Any, str]] = [
    (WEIGHT, NAN, "state_dict['encoder.blocks.0.conv.weight'] holds NaN"),
    (WEIGHT, NAN.nan_to_num(torch.inf), "holds infinite numbers"),
    (WEIGHT, torch.zeros(2, 1, 3, 3, dtype=torch.complex64), "is of torch.complex64, expected real numbers"),
    (
        WEIGHT,
        torch.zeros(2, 1, 3, 3, dtype=torch.int64),
        "mistyped    encoder.blocks.0.conv.weight torch.int64",
    ),
    (WEIGHT, torch.zeros(2, 1, 3, 4), "misshapen   encoder.blocks.0.conv.weight 2x1x3x4"),
    (WEIGHT, torch.zeros(2, 1, 3, 3).to_sparse(), "is a sparse_coo tensor"),
    (WEIGHT, torch.zeros(2, 1, 3, 3, device="meta"), "is a meta tensor"),
    (WEIGHT, torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.qint8), "is a quantized tensor"),
    (WEIGHT, HUGE, "comes to more than a file of this size can hold"),
    (WEIGHT, [1.0], "is a list, expected a name and a tensor"),
    (("state_dict", 3), torch.zeros(2), "state_dict[3]"),
    (("state_dict",), [], "state_dict is a list, expected a dict"),
    (("hyper_parameters",), 5, "hyper_parameters is 5, expected a mapping"),
    (
        ("hyper_parameters", "encoder"),
        "ConvEncoder",
        "hyper_parameters.encoder is 'ConvEncoder', expected a m",
    ),
    (("hyper_parameters", "pretraining"), "magic", "pretraining is 'magic', expected 'denoising'"),
    (("hyper_parameters", "classes"), "abc", "classes is 'abc', expected a list"),
    (("hyper_parameters", "run"), torch.zeros(1), "run is a Tensor, expected a plain value"),
    (("metrics",), {"dae/val/loss": "low"}, "metrics is a dict, expected a mapping"),
    (("metrics", "dae/val/loss"), torch.nan, "metrics.dae/val/loss is nan"),
    (("metrics",), {1: 0.5}, "metrics has the key 1, expected a text"),
    (("epochs",), 2.5, "epochs is 2.5, expected an integer >= 0"),
    (("epochs",), True, "epochs is True, expected an integer"),
    (("seconds",), "long", "seconds is 'long', expected a number >= 0"),
    (("stopped",), True, "stopped is True, expected"),
    (("loops",), None, "loops is None"),
    (("loops",), {"fit_loop": {"ready": "x"}}, "loops.fit_loop.ready is 'x', expected a count"),
    (("loops",), {"fit_loop": {"ready": -1}}, "loops.fit_loop.ready is -1, expected a count"),
    (("seconds",), 1e200, "seconds is 1e+200, no number that is measured"),
    (("callbacks",), [], "callbacks is a list"),
    (("pytorch-lightning_version",), "new", "pytorch-lightning_version is 'new'"),
    (
        ("optimizer_states", 0, "state", 0, "exp_avg"),
        NAN,
        "optimizer_states.0.state.0.exp_avg holds NaN",
    ),
]


@pytest.mark.parametrize(("path", "value", "words"), FIELDS)
def test_a_wrong_field_is_told_by_file_and_name(tmp_path, path, value, words):
    text = refusal(open_all, write_if_we_can(tmp_path, put(CONTENT, path, value)))
    assert words in text
    assert "best.ckpt" in text


def test_what_is_written_is_read_and_stays_open_to_torch(tmp_path):
    file = write(tmp_path, CONTENT)
    assert content_digest(read_content(file)) == DIGEST
    assert torch.load(file, weights_only=True)["format"] == FORMAT
    assert content_digest(put(CONTENT, ("seconds",), 0.90000001)) != DIGEST
    open_all(file)


def test_a_file_of_no_format_is_read_with_one_warning(tmp_path, caplog):
    file = write(tmp_path, CONTENT, with_digest=False)
    read(file)
    read(file)
    assert [record.message for record in caplog.records].count(caplog.records[0].message) == 1
    assert "best.ckpt is older than the digest" in caplog.text


def test_a_newer_format_and_an_exchanged_value_are_refused_in_words(tmp_path):
    file, own = tmp_path / "best.ckpt", {"format": FORMAT, "digest": DIGEST}
    torch.save({**CONTENT, **own, "format": FORMAT + 1}, file)
    assert f"is in format {FORMAT + 1}, and this version reads formats up to {FORMAT}" in refusal(read, file)
    for changed in ({"epochs": 3}, {"format": "1"}, {"format": None}, {"digest": None}, {"extra": 1}):
        torch.save({**CONTENT, **own, **changed}, file)
        text = refusal(read, file)
        assert "is damaged: its content does not agree with its digest" in text
    last = shutil.copy(file, tmp_path / "last.ckpt")
    assert "best.ckpt beside it remains; without it the stage is trained again: rm " in refusal(read, last)


def test_no_file_but_the_best_checkpoint_is_deleted_for_a_better_one(tmp_path):
    callback = StageCheckpoint(tmp_path, None)
    state = callback.state_dict()
    for path in ("/", "..", "x/..", "../../other.ckpt", "stage.json"):
        callback.load_state_dict(
            {**state, "best_model_path": path, "best_k_models": {path: torch.tensor(1.0)}}
        )
        assert callback.best_model_path == str(tmp_path / "best.ckpt")
        assert [*callback.best_k_models] == [str(tmp_path / "best.ckpt")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("best_score", value) for value in ("x", None, 1.0, torch.ones(2), torch.tensor(torch.nan))),
        *(("wait_count", value) for value in ("x", None, True)),
        ("patience", None),
        ("kth_value", None),
        ("best_k_models", []),
    ],
)
def test_what_a_callback_takes_over_is_of_its_types(tmp_path, name, value):
    callbacks = [
        each for each in (EarlyStopping(), StageCheckpoint(tmp_path, None)) if name in each.state_dict()
    ]
    for callback in callbacks:
        state = callback.state_dict()
        callback.load_state_dict(state)
        with pytest.raises(ValueError, match=rf"{name} is "):
            callback.load_state_dict({**state, name: value})


def test_an_optimizer_keeps_the_options_of_the_run():
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=0.1, betas=[0.9, 0.99])  # type: ignore[arg-type]
    state = optimizer.state_dict()
    for name, value in (("lr", 5.0), ("weight_decay", -3.0), ("maximize", True), ("lr", torch.tensor(0.2))):
        optimizer.load_state_dict(put(state, ("param_groups", 0, name), value))
        with pytest.raises(ValueError, match=f"the optimizer's {name} is .*, the run's is "):
            refuse_other_options(optimizer, scheduled=False)
    for name, value in (("lr", 5.0), ("foreach", True)):
        optimizer.load_state_dict(put(state, ("param_groups", 0, name), value))
        refuse_other_options(optimizer, scheduled=True)


@pytest.mark.parametrize("place", ["x" * 300, "a\0b", "file/x", "/dev/zero"])
def test_a_place_that_cannot_be_is_no_checkpoint(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(CheckpointError, match="no such file or folder"):
        find_checkpoint(place)
    if "\0" not in place:
        with pytest.raises(ConfigError, match="is not a folder"):
            reopen_run([f"resume={place}"])


def test_nothing_is_to_be_deleted_for_a_file_that_is_no_checkpoint(tmp_path):
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG")
    (tmp_path / "stage.json").touch()
    assert "rm " not in refusal(read, picture)


def test_an_encoder_that_has_diverged_is_not_accused_of_its_forward():
    encoder = ConvEncoder(1, 28, WIDTHS)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.fill_(1e30)
    data: Any = SimpleNamespace(channels=1, image_size=28)
    with pytest.raises(UserError, match="makes NaN or infinite latents"):
        latent_shape(encoder, data)


def damage(content: bytes, kind: str, start: int, other: int, length: int, noise: bytes) -> bytes:
    """Some bytes of a file flipped, zeroed, swapped with others, or all behind them cut off."""
    found = bytearray(content)
    start, other = start % len(found), other % len(found)
    if kind == "flipped":
        for index, flip in enumerate(noise):
            found[(start + index * other) % len(found)] ^= flip
    elif kind == "cut":
        del found[start:]
    elif kind == "zeroed":
        found[start : start + length] = bytes(len(found[start : start + length]))
    else:
        here, there = slice(start, start + length), slice(other, other + length)
        piece, moved = bytes(found[here]), bytes(found[there])
        size = min(len(piece), len(moved))
        found[start : start + size], found[other : other + size] = moved[:size], piece[:size]
    return bytes(found)


DAMAGES = st.tuples(
    st.sampled_from(["flipped", "cut", "zeroed", "swapped"]),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.sampled_from([1, 4, 16, 64, 256, 1024, 4096]),
    st.binary(min_size=1, max_size=20),
)


@pytest.mark.parametrize("with_digest", [True, False])
def test_one_bit_of_a_weight_is_told(tmp_path, with_digest):
    file = write(tmp_path, CONTENT, with_digest)
    content, weight = bytearray(file.read_bytes()), CONTENT["state_dict"][WEIGHT[1]].numpy().tobytes()
    content[content.index(weight) + 5] ^= 1
    file.write_bytes(content)
    assert "best.ckpt is damaged: the checksum of its piece" in refusal(read, file)


def outcome_of_damage(file: Path) -> str:
    try:
        found = read_content(file)
    except CheckpointError as error:
        return "refused in words" if file.name in str(error) else "refused without its name"
    return "read the same" if content_digest(found) == DIGEST else "wrong without a word"


def try_damages(place: Path, examples: int, count: Callable[[str, str], None]) -> None:
    whole = {kind: write(place, CONTENT, kind, "whole.ckpt").read_bytes() for kind in (True, False)}

    @settings(derandomize=True, max_examples=examples, deadline=None, database=None)
    @given(st.booleans(), DAMAGES)
    def attempt(with_digest: bool, drawn: Any) -> None:
        file = place / "best.ckpt"
        file.write_bytes(damage(whole[with_digest], *drawn))
        outcome = outcome_of_damage(file)
        count("checkpoints, random damage", outcome)
        assert outcome in ("refused in words", "read the same")

    attempt()


def try_hostile_values(
    place: Path, monkeypatch: pytest.MonkeyPatch, examples: int, count: Callable[[str, str], None]
) -> None:
    places = list(paths(CONTENT))

    @settings(derandomize=True, max_examples=examples, deadline=None, database=None)
    @given(st.sampled_from(places), st.integers(0, len(HOSTILE) - 1), st.booleans())
    def attempt(path: tuple[Any, ...], number: int, with_digest: bool) -> None:
        file = write_if_we_can(place, put(CONTENT, path, HOSTILE[number]), with_digest)
        with watched(place, monkeypatch) as seen:
            try:
                open_all(file, ("torch",))
                outcome = "read as data"
            except UserError:
                outcome = "refused in words"
        count("checkpoints, hostile values", "code run" if seen else outcome)
        assert not seen

    attempt()


def paths(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value of the content, and to what holds it."""
    items: Any = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*above, key)
        yield from paths(value, (*above, key))


HOSTILE: list[Any] = [
    *(None, True, -1, 0, 10**9, 2**62, 10**5000, 0.5, -1e308, torch.inf, torch.nan, 1j, "", b"bytes"),
    *([], {}, set(), (), [[]], {"a": {"b": 1}}, {1: 2}, {(1, 2): 3}, ["x"], [10**9] * 3, [1] * 10**5),
    *("${oc.env:HOME}", f'${{oc.create:{{_target_: sympy.sympify, a: "{CALL}"}}}}', CALL, "x" * 10**6),
    *("../../../etc/passwd", "/dev/zero", "\x00", "\ud800", "${", "dae.models.networks.ConvEncoder"),
    *({"_target_": "os.system", "command": "touch PWNED"}, {"_target_": "antigravity.Encoder"}),
    *({"_target_": "torch.nn.Linear", "in_features": 10**9, "out_features": 10**9},),
    *({"_target_": "torch.utils.collect_env.main"}, {"_target_": "torch.hub.load", "repo_or_dir": "x"}),
    *({**CONTENT["hyper_parameters"]["encoder"], "widths": [{"_target_": "os.getcwd"}, 2, 2]},),
    *({**CONTENT["hyper_parameters"]["encoder"], "_partial_": True},),
    *(torch.tensor(torch.nan), torch.zeros(0), torch.zeros(3, 3), torch.ones(2, dtype=torch.complex64)),
    *(torch.ones(2, dtype=torch.int32), torch.ones(2, dtype=torch.bool), torch.ones(2).half()),
    *(torch.ones(2, 2).to_sparse(), torch.ones(2, device="meta"), HUGE),
    *(torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), torch.ones(2).to(torch.float8_e5m2)),
    *(torch.float32, torch.Size([2]), torch.device("cpu"), torch.nn.Parameter(torch.ones(2))),
]


def silent(attacked: str, outcome: str) -> None:
    """Of the few examples of the default form nothing is counted."""


def test_random_damage_is_never_silent(tmp_path):
    try_damages(tmp_path, 40, silent)


def test_hostile_values_run_nothing(tmp_path, monkeypatch):
    try_hostile_values(tmp_path, monkeypatch, 25, silent)


@pytest.mark.faults
def test_many_random_damages(tmp_path, tally):
    try_damages(tmp_path, 2000, tally)


@pytest.mark.faults
def test_many_hostile_values(tmp_path, monkeypatch, tally):
    try_hostile_values(tmp_path, monkeypatch, 300, tally)


def test_a_file_that_holds_itself_or_unpacks_without_end_is_refused(tmp_path):
    nested: list[Any] = []
    for _ in range(40):
        nested = [nested, nested]
    file = write(tmp_path, {**CONTENT, "extra": nested}, with_digest=False)
    assert "comes to more than a file of this size can hold" in refusal(read, file)
    nested.append(nested)
    torch.save({**CONTENT, "extra": nested}, file)
    assert "not a checkpoint of plain values" in refusal(read, file)


def test_a_stage_goes_on_from_its_newest_whole_checkpoint(tmp_path, caplog):
    best, last = (write(tmp_path, CONTENT, name=name) for name in ("best.ckpt", "last.ckpt"))

    def start() -> Path | None:
        caplog.clear()
        found = newest_whole_checkpoint(tmp_path)
        return found.path if found else None

    assert start() == last
    assert not caplog.text
    last.write_bytes(last.read_bytes()[:-100])
    assert start() == best
    assert "last.ckpt is damaged" in caplog.text
    assert "goes on from best.ckpt, epoch 2" in caplog.text
    within = put(CONTENT, ("loops", "fit_loop", "epoch_progress", "current", "processed"), 1)
    write(tmp_path, within)
    assert start() is None, "the best was written within an epoch"
    assert "begins again at its start" in caplog.text
    write(tmp_path, CONTENT, name="last.ckpt")
    best.unlink()
    assert start() is None, "what the last calls the best is not there"
    assert "best.ckpt is not there" in caplog.text
    torch.save({**CONTENT, "format": FORMAT + 1, "digest": ""}, last)
    with pytest.raises(CheckpointError, match="is in format"):
        start()
    last.unlink()
    assert start() is None
    assert not caplog.text, "the stage has only begun"


def test_a_finished_stage_with_a_damaged_best_is_told(tmp_path):
    file = write(tmp_path, CONTENT)
    StageResult({}, file, 0.1, 2).save()
    assert finished_stage(tmp_path, 2) is not None
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(
        DamagedCheckpointError, match=r"to train its stage again: rm .*stage\.json .*best\.ckpt"
    ):
        finished_stage(tmp_path, 2)


def test_rows_of_a_csv_file_are_kept_and_none_is_doubled(tmp_path):
    names = [
        "step",
        "dae/train/step_loss",
        "dae/train/loss",
        "dae/val/loss",
        "dae/test/loss",
        "result/dae/val/loss",
    ]
    kept = [[40, 0.9, "", "", "", ""], [1, "", "", 0.8, "", ""], [1, "", 0.7, "", "", ""]]
    behind = [[80, 0.6, "", "", "", ""], [2, "", "", 0.5, "", ""], [2, "", 0.4, "", "", ""]]
    again = [[2, "", "", "", 0.3, ""], [2, "", "", "", "", 0.5]]

    def rows(epochs: int) -> list[list[str]]:
        with (tmp_path / "metrics.csv").open("w", newline="") as file:
            csv.writer(file).writerows([names, *kept, *behind, *again])
        logger = CSVLogger(tmp_path, name="", version="")
        keep_rows(logger, epochs)
        logger.log_metrics({"new": 1.0}, step=7)
        logger.save()
        with (tmp_path / "metrics.csv").open(newline="") as file:
            found = list(csv.DictReader(file))
        assert found.pop()["new"] == "1.0"
        return [[row.get(name, "") for name in names] for row in found]

    def written(expected: list[list[Any]]) -> list[list[str]]:
        return [list(map(str, row)) for row in expected]

    assert rows(0) == []
    assert rows(1) == written(kept)
    assert rows(2) == written([*kept, *behind])
    (tmp_path / "metrics.csv").write_bytes(b"step,\xff\xfe\n\x00")
    keep_rows(CSVLogger(tmp_path, name="", version=""), 1)
    assert (tmp_path / "metrics.damaged.csv").is_file()


# Three epochs bring nothing, so that the second one is the last; the frozen blocks are random ones.
STOPPED = (
    "data=digits",
    "data.limit=100",
    *ONE_PASS,
    "stage=classifier",
    "classifier=random",
    "classifier.epochs=6",
    "classifier.optimizer.lr=1e-12",
    "callbacks=early_stopping",
    "callbacks.early_stopping.patience=1",
    "logger=csv",
)


@pytest.fixture
def killed(finished: Train, tmp_path: Path) -> tuple[Outcome, Path]:
    """A run that stopped early, and a copy of it that was killed in its test."""
    whole = finished(*STOPPED)
    place = shutil.copytree(whole.folder, tmp_path / "killed")
    for name in ("classifier/stage.json", "classifier/test.json", "result.json"):
        (place / name).unlink()
    return whole, place


def test_what_was_stopped_early_stays_stopped(killed, train: Train):
    whole, place = killed
    stage = whole.folder / "classifier"
    assert read(stage / "last.ckpt").epochs == 2
    for more in ((), ("classifier.epochs=9",)):
        done = train(f"resume={place}", *more)
        assert done.exit_code == 0, done.text
        assert "classifier is not trained further than epoch 2: it had been stopped early" in done.text
        assert json.loads((place / "result.json").read_text())["metrics"] == whole.result["metrics"]
        for name in ("last.ckpt", "best.ckpt"):
            assert (place / "classifier" / name).read_bytes() == (stage / name).read_bytes()
        assert (place / "classifier" / "metrics.csv").read_text() == (stage / "metrics.csv").read_text()


def test_a_damaged_last_checkpoint_is_done_without(killed, train: Train):
    whole, place = killed
    last = place / "classifier" / "last.ckpt"
    flip_a_byte(last)
    done = train(f"resume={place}")
    assert done.exit_code == 0, done.text
    assert "last.ckpt is damaged" in done.text
    assert "classifier begins again at its start" in done.text
    assert json.loads((place / "result.json").read_text())["metrics"] == whole.result["metrics"]
    assert (place / "classifier" / "metrics.csv").read_text() == (
        whole.folder / "classifier" / "metrics.csv"
    ).read_text()


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)


def test_a_damaged_best_checkpoint_of_a_completed_run_is_told_with_the_way_on(
    finished: Train, train: Train, tmp_path: Path
):
    whole = finished(*STOPPED)
    place = shutil.copytree(whole.folder, tmp_path / "completed")
    best = place / "classifier" / "best.ckpt"
    flip_a_byte(best)
    done = train(f"resume={place}")
    assert done.exit_code == 1
    told = "completed/classifier/best.ckpt is damaged"
    assert told in done.text
    way_on = re.search(r"to train its stage again: rm (.*), then python train.py (resume=\S+)", done.text)
    assert way_on
    for word in shlex.split(way_on[1]):
        Path(word).unlink()
    again = train(way_on[2])
    assert again.exit_code == 0, again.text
    assert content_hash(read(best).tensors) == content_hash(
        read(whole.folder / "classifier" / "best.ckpt").tensors
    )


def exchange_frozen(content: dict[str, Any]) -> None:
    content["state_dict"]["encoder.blocks.0.conv.weight"].fill_(5)


def exchange_frozen_and_its_hash(content: dict[str, Any]) -> None:
    exchange_frozen(content)
    del content["callbacks"]["FrozenGuard"]


def garble_optimizer(content: dict[str, Any]) -> None:
    content["stopped"] = ""
    content["optimizer_states"][0]["state"][0]["exp_avg"] = torch.zeros(3)


def exchange_an_option(content: dict[str, Any]) -> None:
    content["stopped"] = ""
    content["optimizer_states"][0]["param_groups"][0]["lr"] = 5.0


def lose_the_optimizer(content: dict[str, Any]) -> None:
    content["stopped"] = ""
    content["optimizer_states"] = []


def garble_loops(content: dict[str, Any]) -> None:
    content["loops"]["fit_loop"]["epoch_progress"] = 5


def garble_callbacks(content: dict[str, Any]) -> None:
    content["callbacks"]["LearningSigns"] = [1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (exchange_frozen, "its frozen tensors are not those of the encoder that the run began with"),
        (exchange_frozen_and_its_hash, "its frozen tensors are not those of the encoder"),
        (garble_optimizer, "last.ckpt cannot be gone on from: ValueError: the optimizer's exp_avg"),
        (exchange_an_option, "the optimizer's lr is 5.0, the run's is 1e-12"),
        (
            lose_the_optimizer,
            "ValueError: it has states of [0, 0] optimizers and schedules, the run has [1, 0]",
        ),
        (garble_loops, "last.ckpt cannot be gone on from: TypeError"),
        (garble_callbacks, "last.ckpt cannot be gone on from: TypeError"),
    ],
)
def test_an_exchanged_checkpoint_is_told_before_anything_is_trained(killed, train: Train, change, words):
    _, place = killed
    last = place / "classifier" / "last.ckpt"
    content = read_content(last)
    change(content)
    write_content(last, content)
    before = last.read_bytes()
    done = train(f"resume={place}", "classifier.epochs=9")
    assert done.exit_code == 1
    assert words in done.text
    assert "rm " in done.text
    assert "Traceback" not in done.text
    assert last.read_bytes() == before
