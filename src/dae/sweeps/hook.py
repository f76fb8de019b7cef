"""Hydra's callback of runs and sweeps: what is refused before a folder is made, a line a job that ends."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.override_parser.types import Glob
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import OmegaConfBaseException

from dae.errors import Problem, UserError, raise_problems
from dae.files import changed_at
from dae.runs.folder import lock, remove_half_written
from dae.runs.process import sweep_log
from dae.runs.records import ENDED, FILE
from dae.runs.resume import refuse_other_run
from dae.sweeps.commands import TOLD
from dae.sweeps.jobs import Job, launch_time, launched_jobs, read_jobs
from dae.sweeps.order import ask, sweep_overrides, swept_values
from dae.sweeps.table import is_below
from dae.text import closest_name, format_duration, format_figure, path_from_here, pluralize


class SweepFolder(Callback):
    """Refuses a command before Hydra writes anything, and tells every job of a sweep what that varies.

    The end of a sweep is noticed by ``launch``, since Hydra calls ``on_multirun_end`` only if no job has
    failed.

    Args:
        swept: Only to be found in the config: ``conf/train.yaml`` names a job's folder by these keys.
        count: How many jobs the sweep has; 0 if that is not known.
    """

    # Of the sweep that this process has launched; None in a process that only runs jobs.
    folder: ClassVar[Path | None] = None

    def __init__(self, swept: Sequence[str] = (), count: int = 0) -> None:
        self.swept, self.count = swept, count

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Refuse to compare where there is one run, and claim its folder before Hydra writes to it.

        Raises:
            SystemExit: Because of a ``UserError``.
        """
        asked = _readable(config.hydra.run)
        if asked is None:
            return
        folder, typed = Path(asked).absolute(), list(config.hydra.overrides.task)
        with _errors_as_exit():
            key = next(
                (text.partition("=")[2] for text in typed if text.lstrip("+").startswith("compare=")), None
            )
            if key is not None and config.get("compare") is not None:
                raise_problems(key_problems(f"compare={key}", key, ()))
            if config.hydra.output_subdir and (folder / FILE).is_file():  # else it goes on with its own
                from dae.config.preflight import with_saved_data  # torch, which the job imports next

                own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
                refuse_other_run(with_saved_data(own, typed), folder)
            lock(folder)

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Note the folder, the swept keys and what is to be compared.

        Raises:
            SystemExit: Because of a ``UserError``: the sweep cannot be run, or compared, as it asks.
        """
        asked = _readable(config.hydra.sweep)
        if asked is None:
            return
        folder = Path(asked).absolute()
        with _errors_as_exit():
            raise_problems([*_layout_problems(config), *comparison_problems(config)])
            _look_at_data(config)
            remove_half_written(folder, age=60)  # another launch of this sweep may be writing there
            if key := asked_comparison(config):
                ask(folder, key, swept_values(config.hydra))
        SweepFolder.folder, count = folder, count_jobs(config)
        swept = [key for key, each in sweep_overrides(config.hydra).items() if each.is_sweep_override()]
        # Each launcher composes a job, perhaps in another process, from these and from its own overrides:
        # nothing else of the whole sweep arrives there.
        with read_write(config.hydra.overrides):
            quoted = ",".join(f"'{key}'" for key in swept)
            config.hydra.overrides.hydra += [f"{TOLD}swept=[{quoted}]", f"{TOLD}count={count}"]
        jobs = pluralize(count, "job") if count else "jobs"
        sweep_log.info("%s in %s, logged in <job>/train.log", jobs, path_from_here(folder))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """Say what became of a job of a sweep, in the process that has run it."""
        folder = Path(config.hydra.runtime.output_dir)
        if config.hydra.mode.name == "MULTIRUN":
            sweep_log.info("%s", end_line(folder, int(config.hydra.callbacks.sweep_folder.count)))


def end_line(folder: Path, count: int) -> str:
    """``3 of 36: <job>: completed: classifier/val/accuracy 0.9640, 12.3 s; about 6 min left``.

    Args:
        folder: Of a job that has ended.
        count: How many jobs its sweep has; 0 if that is not known.
    """
    begun = launch_time(folder.parent)
    started = launched_jobs(folder.parent, read_jobs(folder.parent))
    new = [each for each in started if changed_at(each.folder / "result.json") >= begun]
    ended = [each for each in started if each in new or each.status in ENDED]
    of_all = f"{len(ended)} of {count}" if len(ended) <= count else f"{len(ended)}"
    outcome = next((_outcome(job, begun) for job in started if job.folder == folder), "has left nothing")
    each_took = (time.time() - begun / 1e9) / max(1, len(new))
    left = f"; about {format_duration(each_took * (count - len(ended)))} left" if count > len(ended) else ""
    return f"{of_all}: {folder.name}: {outcome}{left}"


def _outcome(job: Job, begun: int) -> str:
    if job.status == "running":
        return "another launch is running it"
    took = format_duration(job.seconds)
    if job.failed or job.value is None or job.objective is None:
        return f"{job.status} after {took}{f': {job.error}' if job.error else ''}"
    figure = f"{job.objective.name} {format_figure(job.value)}"
    if changed_at(job.folder / "result.json") < begun:
        return f"was {job.status} before: {figure}"
    return f"{job.status}: {figure}, {took}{', with signs that little was learned' if job.signs else ''}"


def _look_at_data(config: DictConfig) -> None:
    """Open the data that every job reads once, and sweep over label counts that come to all images once."""
    swept = swept_values(config.hydra)
    others = {key for key in swept if key.partition(".")[0] == "data"} - {"data.labels", "data.labels_seed"}
    if others or {"experiment", "classifier.encoder_checkpoint"} & swept.keys():
        return
    if "sampler" in config.hydra.sweeper:  # a search looks at everything
        return
    from dae.config.preflight import look_at_data, with_saved_data  # torch, which the jobs import

    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    data = look_at_data(with_saved_data(own, list(config.hydra.overrides.task)))
    sizes = data.train_labelled.labels.bincount() if data.classes else None
    asked = swept.get("data.labels", [])
    most = {text: int(text.removesuffix("/class")) for text in asked if text != "null"}
    alike = [
        text
        for text in asked
        if sizes is None or text == "null" or most[text] >= (sizes.max() if "/" in text else sizes.sum())
    ]
    if len(alike) > 1:
        kept = [text for text in asked if text not in alike[:-1]]
        sweep_log.info("data.labels: %s come to the same images; run once", ", ".join(alike))
        config.hydra.overrides.task = [
            *(text for text in config.hydra.overrides.task if not text.startswith("data.labels=")),
            f"data.labels={','.join(kept)}",
        ]


def _readable(node: DictConfig) -> str | None:
    """The folder that a node names; None if it cannot be made out, which Hydra says next, as an error."""
    try:
        return str(node.dir)
    except OmegaConfBaseException:
        return None


@contextmanager
def _errors_as_exit() -> Iterator[None]:
    """Have an error leave the program: Hydra turns the exception of a callback into a warning."""
    try:
        yield
    except UserError as error:
        raise SystemExit(str(error)) from error
    except OSError as error:
        raise SystemExit(str(error)) from UserError(str(error))


def count_jobs(config: DictConfig) -> int:
    """How many jobs a sweep has: each combination of the values of its keys, or the trials of a search.

    0 if that is not known before the sweep runs.
    """
    if "n_trials" in config.hydra.sweeper:
        return int(config.hydra.sweeper.n_trials)
    overrides = sweep_overrides(config.hydra).values()
    if any(isinstance(override.value(), Glob) for override in overrides):
        return 0  # only the sweeper knows what is there
    return math.prod(len(list(o.sweep_iterator())) for o in overrides if o.is_sweep_override())


def _layout_problems(config: DictConfig) -> Iterator[Problem]:
    """Why the jobs of a sweep would not be found again, or not be told apart."""
    for text in config.hydra.overrides.hydra:
        if text.startswith("hydra.sweep.subdir="):
            what = (
                "the jobs of a sweep are named after what they are, so that two of them never share a folder"
            )
            yield Problem(text, what, "leave it out; the sweep's folder is hydra.sweep.dir")
    for text in config.hydra.overrides.task:
        key, _, value = text.partition("=")
        if key == "name" and "," in value:
            yield Problem(text, "a name makes no job another job", "give one name")


def asked_comparison(config: DictConfig) -> str | None:
    """The key that a sweep is asked to compare; what is typed takes the place of what the config says."""
    typed = sweep_overrides(config.hydra).get("compare")
    if typed is None:
        return config.get("compare")
    found = str(typed.input_line).partition("=")[2]
    return None if found == "null" else found


def comparison_problems(config: DictConfig) -> Iterator[Problem]:
    """Why jobs that are about to begin cannot be compared as they ask."""
    key = asked_comparison(config)
    if key is not None:
        swept = [
            k.lstrip("+") for k, each in sweep_overrides(config.hydra).items() if each.is_sweep_override()
        ]
        yield from key_problems(f"compare={key}", key, swept, "sampler" in config.hydra.sweeper)


def key_problems(where: str, key: str, swept: Sequence[str], is_search: bool = False) -> Iterator[Problem]:
    """Why a key cannot be compared, if that is so.

    Args:
        where: What was typed.
        key: That is to be compared.
        swept: The keys that the sweep varies.
        is_search: Whether a search has drawn their values.
    """
    arms = [name for name in swept if name not in ("seed", "compare")]
    offered = f"one of the swept keys {', '.join(arms)}" if arms else "a key with several values"
    if is_search:
        what = "a search draws its values, so that its trials are no pairs"
        yield Problem(where, what, "sweep over the values themselves, without hydra/sweeper=optuna")
    elif key not in arms and not any(is_below(name, key) for name in arms):
        what = f"{key} has not several values in this sweep; expected {offered}"
        if key == "seed":
            what = f"seeds are what a comparison is repeated over; expected {offered}"
        meant = closest_name(key, arms, cutoff=0.3) or next(iter(arms), None)
        yield Problem(where, what, f"try {where.removesuffix(key)}{meant}" if meant else "")
