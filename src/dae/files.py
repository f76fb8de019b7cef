"""Files that are whole or not there, whoever else writes or reads them, and damage in them that is told.

What is read is plain values: no tags, no aliases, no interpolation is followed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from dae.errors import UserError
from dae.shapes import LARGEST, kind_of, plain_problem
from dae.words import path_from_here, printable

log = logging.getLogger(__name__)

# The last key of a JSON file, and in a YAML file the beginning of the first line and of the last one.
DIGEST = "sha256"
SEAL = f"# {DIGEST}"
# What is wrong with a file whose digest is not that of its content.
NOT_AS_WRITTEN = "it is not what was written there; if you have changed it yourself, delete"


class DamagedFileError(UserError):
    """A small file that cannot be read, or holds something else than it should.

    Args:
        path: The file.
        why: What is wrong with it.
        remedy: What to do; None is what serves for a file of its name.
    """

    def __init__(self, path: Path, why: str, remedy: str | None = None) -> None:
        self.path, self.why = path, why
        self.remedy = REMEDIES.get(path.name, "") if remedy is None else remedy
        super().__init__(printable(f"{path_from_here(path)} cannot be read: {why}. {self.remedy}".strip()))


REMEDIES = {
    "result.json": "Delete it: a run without it goes on, from its checkpoints.",
    "stage.json": "Delete it: the run goes on, and the stage ends again from its last.ckpt.",
    "run.json": "Bring it back from a copy; without it nothing says which data the run has begun on.",
    "test.json": "Delete it: the page does without its intervals.",
    "config.yaml": "Bring it back from a copy, or begin the run anew in another folder.",
    "overrides.yaml": "Bring it back from a copy, or continue the sweep: its job writes it again.",
    "hydra.yaml": "Delete it: only printed commands are made of it.",
    "multirun.yaml": "Delete it: only printed commands and the order of a comparison are made of it.",
}


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path to write to, beside ``path``; it takes its place when the block ends without an error.

    Its folder has to be there: one that was moved or deleted while it was in use is not made anew.
    """
    # Processes of several machines may write into one folder, so a process id would not do.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Write all of a file or none of it, in UTF-8.

    Raises:
        OSError: The disk is full or write-protected; what was there before is still there.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def json_text(content: dict[str, Any]) -> str:
    """The content as JSON; NaN and infinity, which it lacks, and what is no figure become null."""
    return json.dumps(_finite(content), indent=2) + "\n"


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` and its digest; NaN, infinity and what is no figure become null."""
    plain = json.loads(json_text(content))
    write_text_atomically(path, json_text({**plain, DIGEST: _digest_of(plain)}))


def read_json(path: Path, changed: bool = False) -> dict[str, Any]:
    """What ``write_json`` has written there; empty if there is nothing yet.

    Args:
        path: The file.
        changed: Take one that does not agree with its digest all the same, and warn of it.

    Raises:
        DamagedFileError: It is not what was written there.
    """
    text = read_text(path)
    if text is None:
        return {}
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(path, _reason(error) if text.strip() else "it is empty") from error
    if not isinstance(content, dict):
        raise DamagedFileError(path, f"it holds {kind_of(content)}, expected a mapping")
    if not content:
        raise DamagedFileError(path, "it is empty")
    last = next(reversed(content))
    if DIGEST not in content and re.fullmatch(r"\w{60,68}", str(content[last])):
        raise DamagedFileError(path, f"its last key is {last!r}, expected {DIGEST!r}")
    digest = content.pop(DIGEST, None)
    _require_plain(path, content)
    if digest is not None and digest != _digest_of(content):
        if not changed:
            raise DamagedFileError(path, f'{NOT_AS_WRITTEN} its "{DIGEST}"')
        log.warning("%s is not what was written there: it was changed, or is damaged", path_from_here(path))
    return content


def sealed(text: str) -> str:
    """A YAML text between a line with its digest and one that says that it ends there."""
    content = f"{text}{SEAL}: all of the lines above\n"
    return f"{SEAL} of what follows: {text_digest(content)}\n{content}"


def seal_yaml(path: Path) -> None:
    """Add its digest to a YAML file that another program has written; its time stays."""
    text = read_text(path)
    if text is not None and SEAL not in text:
        times = path.stat()
        write_text_atomically(path, sealed(text))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def read_yaml(path: Path, keys: Collection[str] = ()) -> Any:
    """The plain values in a YAML file; None if there is none.

    Args:
        path: The file.
        keys: Those that it must have.

    Raises:
        DamagedFileError: It is no YAML, holds more than plain values, lacks a key, or is not what was written
            there.
    """
    text = read_text(path)
    if text is None:
        return None
    lines = text.splitlines(keepends=True)
    if SEAL in text and text != sealed("".join(lines[1:-1])):
        raise DamagedFileError(path, f"{NOT_AS_WRITTEN} its first line and its last one")
    try:
        # Small files may stand for more nodes than there is memory for.
        if "*" in text and any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, _Loader)):
            raise ValueError("it holds an alias of another node")
        content = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DamagedFileError(path, _reason(error)) from error
    if content is None:
        raise DamagedFileError(path, "it is empty")
    _require_plain(path, content, by_hand=True)
    if keys and not isinstance(content, dict):
        raise DamagedFileError(path, f"it holds {kind_of(content)}, expected a mapping")
    if lacking := [key for key in keys if key not in content]:
        what = "it is cut short, or of another version"
        raise DamagedFileError(path, f"it lacks {', '.join(lacking)}: {what}")
    return content


def read_text(path: Path) -> str | None:
    """The text of a file in UTF-8; None if there is none.

    Raises:
        DamagedFileError: It cannot be read, or is not text.
    """
    if not os.path.lexists(path):
        return None
    if not path.is_file():
        raise DamagedFileError(path, "it is not a file")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise DamagedFileError(path, str(why)) from error


def leads_out(path: Path, *folders: Path) -> bool:
    """Whether a path that is written as if it lay in one of the folders lies elsewhere, by a link."""
    real = path.resolve()
    return not any(real.is_relative_to(folder.resolve()) for folder in folders)


def links_out(folder: Path) -> list[Path]:
    """The links in a folder, at any depth, that lead out of it."""
    found = []
    for place, folders, files in os.walk(folder):  # links are not followed
        paths = [Path(place) / name for name in (*folders, *files)]
        found += [path for path in paths if path.is_symlink() and leads_out(path, folder)]
    return sorted(found)


def _refuse_constant(word: str) -> None:
    raise ValueError(f"it holds {word}")


def _require_plain(path: Path, content: Any, by_hand: bool = False) -> None:
    if why := plain_problem(content, by_hand=by_hand):
        raise DamagedFileError(path, why)


def text_digest(text: str) -> str:
    """SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def _digest_of(content: dict[str, Any]) -> str:
    return text_digest(json.dumps(content, sort_keys=True))


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return " ".join(str(error).split())[:200]


def _finite(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _finite(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_finite(value) for value in node]
    return None if isinstance(node, float) and not abs(node) < LARGEST else node


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Numbers as OmegaConf writes and reads them (``1e-3``); a date is a text.

    libyaml's loader, where PyYAML was built with it, is five times as fast: a sweep may have a thousand jobs.
    """


_EXPONENT = r"[eE][-+]?\d+"
_FLOAT = rf"[-+]?(\d+\.\d*({_EXPONENT})?|\d+{_EXPONENT}|\.\d+({_EXPONENT})?|\.(inf|Inf|INF))"
_RESOLVERS = {
    first: [(tag, expression) for tag, expression in resolvers if not tag.endswith((":timestamp", ":float"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.yaml_implicit_resolvers = _RESOLVERS
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(rf"(?:{_FLOAT}|\.(nan|NaN|NAN))$"), list("-+0123456789.")
)
