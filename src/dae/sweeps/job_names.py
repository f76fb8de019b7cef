"""How folders in a sweep are named: after what the sweep varies, with digits of a hash of everything."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from dae.files import DamagedFileError
from dae.schema import NO_PART_OF_A_RUN
from dae.sweeps.jobs import is_hydras, read_overrides

DIGITS = 6
LONGEST_SLUG = 100


def job_folder(overrides: Sequence[str], swept: Sequence[str] = (), sweep: str | None = None) -> str:
    """``p-0.1_seed-0-3c6e21``: the name of a job's folder; the same in every process.

    A job that has begun in the sweep's folder keeps its name, whatever the sweep varies now.

    Args:
        overrides: The job's own. Their order does not matter; of two for the same key the later counts.
        swept: Keys that the sweep varies, as they are written in overrides. If the job has none of them, all
            of its overrides are in the name.
        sweep: The sweep's folder; None looks for no earlier job.
    """
    own = _identity(overrides)
    varied = [text for text in own if text.partition("=")[0] in swept]

    def holds_this_job(folder: Path) -> bool:
        try:
            found = read_overrides(folder)
        except DamagedFileError:
            return True  # by its digits; its config decides
        # Without any it was stopped while Hydra made it: nothing has begun there.
        return found is None or _identity(found) == own

    digest = hashlib.sha256("\n".join(own).encode()).hexdigest()
    return folder_name(
        Path(sweep) if sweep else None, slug(varied or own) or "defaults", digest, holds_this_job
    )


def folder_name(place: Path | None, words: str, digest: str, is_it: Callable[[Path], bool]) -> str:
    """``<words>-<digits>``: the name of the folder in ``place`` that a digest belongs to.

    An existing folder is found by its digits, whatever its words. More digits are taken where another folder
    has the same ones.

    Args:
        place: Where it lies, or will lie; None looks for no existing folder.
        words: Those of a new folder.
        digest: Hexadecimal digits.
        is_it: Whether an existing folder with the same digits is the one.
    """
    names = [folder.name for folder in place.iterdir()] if place and place.is_dir() else []
    for length in range(DIGITS, len(digest)):
        ending = f"-{digest[:length]}"
        found = sorted(name for name in names if name.endswith(ending))
        if not found:
            return f"{words}{ending}"
        for name in found:
            if place and is_it(place / name):
                return name
    return f"{words}-{digest}"


def slug(overrides: Sequence[str]) -> str:
    """``p-0.1_seed-0``: overrides in words that a folder's name can hold, ``seed`` last."""
    pairs = [(key.lstrip("+~"), value) for key, _, value in (text.partition("=") for text in overrides)]
    pairs.sort(key=lambda pair: pair[0] == "seed")
    keys = [key for key, _ in pairs]
    words = [re.sub(r"[^\w.]+", "-", f"{short_name(key, keys)}-{value}").strip("-.") for key, value in pairs]
    *others, last = words or [""]
    last = last[:LONGEST_SLUG]
    head = "_".join(others)[: LONGEST_SLUG - len(last)].rstrip("-_.")
    return f"{head}_{last}" if head else last


def short_name(key: str, keys: Sequence[str]) -> str:
    """The end of a key that no other key has: ``lr``, or ``dae.optimizer.lr`` beside the classifier's."""
    own, *others = (re.split(r"[./@]", each) for each in (key, *(other for other in keys if other != key)))
    length = next(
        (n for n in range(1, len(own)) if all(other[-n:] != own[-n:] for other in others)), len(own)
    )
    return ".".join(own[-length:])


def _identity(overrides: Sequence[str]) -> list[str]:
    """What makes a job this job, in an order of its own: one override a key."""
    by_key = dict(text.partition("=")[::2] for text in overrides if not is_hydras(text))
    return sorted(
        f"{key}={value}" for key, value in by_key.items() if key.lstrip("+") not in NO_PART_OF_A_RUN
    )
