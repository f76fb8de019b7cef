"""How folders in a sweep are named: after what the sweep varies, with digits of a hash of everything."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from dae.runs.records import is_hydras
from dae.schema import NO_PART_OF_A_RUN

DIGITS = 10
LONGEST_SLUG = 100


def job_folder(overrides: Sequence[str], swept: Sequence[str] = (), sweep: str | None = None) -> str:
    """``p-0.1_seed-0-3c6e21a90b``: the name of a job's folder; the same in every process.

    Args:
        overrides: The job's own. Their order does not matter; of two for the same key the later counts.
        swept: Keys that the sweep varies, as they are written in overrides. If the job has none of them, all
            of its overrides are in the name.
        sweep: The sweep's folder, in which a job that has begun keeps its name.
    """
    by_key = dict(text.partition("=")[::2] for text in overrides if not is_hydras(text))
    own = sorted(f"{key}={value}" for key, value in by_key.items() if key.lstrip("+") not in NO_PART_OF_A_RUN)
    varied = [text for text in own if text.partition("=")[0] in swept]
    digest = hashlib.sha256("\n".join(own).encode()).hexdigest()
    return folder_name(Path(sweep) if sweep else None, slug(varied or own) or "defaults", digest)


def folder_name(place: Path | None, words: str, digest: str) -> str:
    """``<words>-<digits>``, or the name of the folder in ``place`` that has these digits."""
    ending = f"-{digest[:DIGITS]}"
    there = sorted(place.glob(f"*{ending}")) if place else []
    return there[0].name if there else f"{words}{ending}"


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
    unique = (n for n in range(1, len(own)) if all(other[-n:] != own[-n:] for other in others))
    return ".".join(own[-next(unique, len(own)) :])
