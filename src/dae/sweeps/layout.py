"""Where the jobs of a sweep lie: each in a folder of its own directly in the sweep's, which Hydra names."""

from __future__ import annotations

from collections.abc import Iterator

from omegaconf import DictConfig

from dae.errors import Problem

# By what Hydra writes there a folder is known to be a job's.
OUTPUT_SUBDIR = ".hydra"


def layout_problems(config: DictConfig) -> Iterator[Problem]:
    """Why the jobs of a sweep would not be found again, as far as it is known before they begin.

    Args:
        config: The sweep's, with Hydra's own.
    """
    given = config.hydra.output_subdir
    if given != OUTPUT_SUBDIR:
        what = f"found {given!r}, but a sweep knows its jobs by what Hydra writes into {OUTPUT_SUBDIR}"
        yield Problem("hydra.output_subdir", what, "leave it out")
    typed = [text for text in config.hydra.overrides.hydra if text.startswith("hydra.sweep.subdir=")]
    for text in typed:
        what = "the jobs of a sweep are named after what they are, so that two of them never share a folder"
        yield Problem(text, what, "leave it out; the sweep's folder is hydra.sweep.dir")
    for text in config.hydra.overrides.task:
        key, _, value = text.partition("=")
        if key == "name" and "," in value:
            yield Problem(text, "a name makes no job another job", "give one name")
