"""The one place where files of weights are written and opened: whole, undamaged, data alone.

A file carries the number of its format and a digest of all that it holds. Torch looks at nothing of that
kind, not even at the checksums of the zip file that it writes: it reads other weights from a damaged one.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import shlex
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from dae.errors import CheckpointError, UserError
from dae.files import atomic_path
from dae.words import path_from_here, train_command

log = logging.getLogger(__name__)

# 1: a digest over tensors and plain values. 2: decoder, head and preprocessing are described, too.
# Files of no format are older, and have no digest.
FORMAT = 2
# What is written down by its repr, the same in every process.
_SCALARS = (type(None), bool, int, float, complex, str, bytes, bytearray, torch.dtype, torch.device)
# A file may hold one thing in several places, but its content cannot be very much larger than itself.
_SHARED = 16
_SMALL = 2**24
_DEEPEST = 64


class DamagedCheckpointError(CheckpointError):
    """A checkpoint whose content is not what was written."""


class _ForeignError(ValueError):
    """Something that a checkpoint does not hold."""


def write_content(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all, with its format and its digest.

    Raises:
        UserError: It holds something else than plain values and dense tensors.
    """
    try:
        digest = content_digest(content)
    except ValueError as error:
        raise UserError(
            f"{path_from_here(path)} is not written: {error}; "
            "a checkpoint holds plain values and dense tensors"
        ) from error
    with atomic_path(path) as temporary:
        torch.save({**content, "format": FORMAT, "digest": digest}, temporary)


def read_content(path: Path) -> dict[str, Any]:
    """What ``write_content`` has written to ``path``, on the CPU, without ``format`` and ``digest``.

    A file without them is held to the checksums of its zip pieces alone, and a warning says so once.

    Raises:
        DamagedCheckpointError: It is not what was written.
        CheckpointError: It cannot be read, holds more than data, or is of a newer format.
    """
    try:
        with path.open("rb") as file:
            content = _opened(path, file)
    except OSError as error:
        raise CheckpointError(f"{path_from_here(path)} cannot be read: {error.strerror or error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path_from_here(path)} is not a checkpoint of this project: "
            f"found a {type(content).__name__}, expected a dict"
        )
    found, digest = content.pop("format", None), content.pop("digest", None)
    if type(found) is int and found > FORMAT:
        raise CheckpointError(
            f"{path_from_here(path)} is in format {found}, and this version reads formats up to {FORMAT}: "
            "read it with the version that wrote it, or a newer one"
        )
    try:
        now = content_digest(content, budget=_SMALL + _SHARED * path.stat().st_size)
    except ValueError as error:  # _ForeignError, or an integer of more digits than Python writes down
        raise _not_plain(path, error) from error
    if found is None and digest is None:
        _tell_that_it_has_no_digest(path)
    elif type(found) is not int or found < 1 or digest != now:
        raise damaged(path, "its content does not agree with its digest")
    return content


def damaged(path: Path, reason: str) -> DamagedCheckpointError:
    """The error for a damaged file, with what can be done."""
    name = path_from_here(path)
    stage, result = path.with_name("stage.json"), path.parent.with_name("result.json")
    if path.name == "last.ckpt":
        beside = "best.ckpt beside it remains; " if path.with_name("best.ckpt").is_file() else ""
        way_on = f"{beside}without it the stage is trained again: rm {shlex.quote(name)}"
    elif stage.is_file() and path.name == "best.ckpt":
        ended = [file for file in (stage, result, path) if file.is_file()]
        again = " ".join(["rm", *(shlex.quote(path_from_here(file)) for file in ended)])
        resume = shlex.quote(f"resume={path_from_here(path.parent.parent)}")
        way_on = f"to train its stage again: {again}, then {train_command()} {resume}"
    else:
        way_on = "take a copy of it or another one, or train it again"
    return DamagedCheckpointError(f"{name} is damaged: {reason}\n      {way_on}")


def content_digest(content: Any, budget: int | None = None) -> str:
    """SHA-256 over all names, values, and the types, shapes and bytes of tensors.

    Args:
        content: Of plain values, lists, mappings and dense tensors.
        budget: Most bytes and values that it may come to; None is no limit.

    Raises:
        _ForeignError: It holds something else, or more.
    """
    digest = hashlib.sha256()
    spent = 0
    for where, text, tensor in _leaves(content, "", 0):
        spent += len(where) + len(text) + (tensor.nbytes if tensor is not None else 0)
        if budget is not None and spent > budget:
            raise _ForeignError(f"{where or 'it'} comes to more than a file of this size can hold")
        digest.update(f"{where}={text}\n".encode("utf-8", "surrogatepass"))
        if tensor is not None and tensor.numel():
            digest.update(_bytes(tensor))
    return digest.hexdigest()


def _leaves(node: Any, where: str, depth: int) -> Iterator[tuple[str, str, Tensor | None]]:
    """Where each value stands, the value in words, and the tensor if it is one."""
    if depth > _DEEPEST:
        raise _ForeignError(f"{where[:100]} is nested too deep")
    if isinstance(node, Tensor):
        problem = unusual(node)
        if problem:
            raise _ForeignError(f"{where} is {problem}, expected a dense tensor")
        yield where, f"{node.dtype} {tuple(node.shape)}", node
    elif isinstance(node, dict):
        yield where, f"dict {len(node)}", None
        for key, value in node.items():
            if type(key) not in _SCALARS:
                raise _ForeignError(f"{where} has a {type(key).__name__} as a key")
            yield from _leaves(value, f"{where}[{key!r}]" if where else str(key), depth + 1)
    elif isinstance(node, list | tuple):
        yield where, f"{'list' if isinstance(node, list) else 'tuple'} {len(node)}", None
        for index, value in enumerate(node):
            yield from _leaves(value, f"{where}[{index}]", depth + 1)
    elif type(node) is set:
        yield where, repr(sorted(map(repr, node))), None
    elif type(node) in _SCALARS:
        yield where, f"{type(node).__name__} {node:x}" if type(node) is int else repr(node), None
    else:
        raise _ForeignError(f"{where or 'it'} is a {type(node).__module__}.{type(node).__qualname__}")


def unusual(tensor: Tensor) -> str:
    """What keeps a tensor from being read number by number; empty if nothing does."""
    if tensor.is_meta:
        return "a meta tensor without content"
    if tensor.layout != torch.strided or tensor.is_nested:
        return f"a {str(tensor.layout).removeprefix('torch.')} tensor"
    if tensor.is_quantized:
        return f"a quantized tensor ({tensor.dtype})"
    return "a view that is computed when it is read" if tensor.is_neg() or tensor.is_conj() else ""


def _bytes(tensor: Tensor) -> memoryview:
    plain = tensor.detach().cpu().contiguous().view(-1)
    return plain.view(torch.uint8).numpy().data


def _opened(path: Path, file: IO[bytes]) -> Any:
    """The content of a file whose pieces have the checksums that its zip directory says."""
    if file.read(4) != b"PK\x03\x04":
        raise damaged(path, "it is not a checkpoint of plain values: no zip file, as torch writes them")
    size = file.seek(0, 2)
    try:
        with zipfile.ZipFile(file) as pieces:
            infos = pieces.infolist()
            # Torch packs nothing: what unpacks to more than the file was made to fill the memory.
            if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
                raise zipfile.BadZipFile("it is packed, and torch packs nothing")
            if sum(info.file_size for info in infos) > size:
                raise zipfile.BadZipFile("its pieces are larger than itself")
            wrong = pieces.testzip()
    except OSError:
        raise
    except Exception as error:  # damaged bytes make zipfile raise whatever they happen to meet
        raise damaged(path, f"it is not a checkpoint of plain values: {_first_line(error)}") from error
    if wrong is not None:
        raise damaged(path, f"the checksum of its piece {wrong} is another")
    file.seek(0)
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except pickle.UnpicklingError as error:
        raise _not_plain(path, error) from error
    except Exception as error:  # the same of torch
        raise damaged(path, f"it is not a checkpoint of plain values: {_first_line(error)}") from error


def _not_plain(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path_from_here(path)} is not a checkpoint of plain values: {_first_line(error)}"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


@lru_cache(maxsize=256)
def _tell_that_it_has_no_digest(path: Path) -> None:
    log.warning(
        "%s is older than the digest that checkpoints carry: held to the checksums of its zip file alone",
        path_from_here(path),
    )
