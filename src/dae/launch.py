"""From a command line to exit code: Hydra composes, a job runs, errors are told in words.

Torch is not imported before a job begins, so that ``--help``, ``--cfg`` and completion answer at once.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from dae.config import compose
from dae.errors import ConfigError, JobError, UserError
from dae.report.write import page_is_outdated, write_or_warn, write_run_report, write_sweep_report
from dae.runs import folder as folders
from dae.runs.folder import owner_of
from dae.runs.process import Terminated, interruptible, told
from dae.runs.records import ENDED, read_hydra, read_or_empty, read_run
from dae.runs.resume import reopen_run, resume_command
from dae.sweeps import leaderboard
from dae.sweeps.commands import continue_command
from dae.sweeps.hook import SweepFolder
from dae.sweeps.jobs import launched_jobs
from dae.sweeps.names import job_folder
from dae.sweeps.table import read_table
from dae.text import import_from_here, path_from_here, pluralize, train_command
from dae.training import machine

if TYPE_CHECKING:
    from optuna.trial import Trial

log = logging.getLogger(__name__)

STOPPING = "interrupted: saving; again to stop now"


def launch(typed: Sequence[str], program: str = "train.py") -> int:
    """Run a command line.

    Args:
        typed: What follows ``train.py``.
        program: How this was started, by which the commands that are printed begin.

    Returns:
        The exit code: 0; 2 the command or the config is refused; 1 anything else went wrong, in a sweep any
        job; 130 Ctrl-C; 143 SIGTERM.
    """
    home = Path.home().as_posix()
    words = [re.sub(r"(?<==)~(?=/|$)", home, word) for word in typed if word != "resume=null"]
    # conf/trainer lists all arguments of the Trainer, so that + adds nothing.
    words = ["-m" if word == "--multirun" else re.sub(r"^\++(?=trainer\.\w+=)", "", word) for word in words]
    # Hydra raises its errors instead of printing them and leaving.
    with patch.dict(os.environ, {"HYDRA_FULL_ERROR": "1"}), patch.object(sys, "argv", [program, *words]):
        job = Job(shlex.join(typed))
        SweepFolder.folder = None
        code = 1
        with interruptible(STOPPING), compose.files_read_once():
            try:
                code = told(lambda: _compose_and_run(job, words))
            finally:
                folders.release_all()  # what Hydra did not come to run
                # Also on Ctrl-C or after an error: who leads so far is worth knowing then, too.
                failed = _close(job, ended=code == 0)
                HydraConfig.instance().cfg = None
        return code or failed


def _compose_and_run(job: Job, words: list[str]) -> None:
    if words in (["--help"], ["-h"]):
        print(compose.help_page())
        return
    import_from_here()
    _accept_own_presets()
    register_resolvers()
    machine.configure_waiting()
    try:
        words = compose.refuse_words(words)
        if any(word.startswith("resume=") for word in words):
            job.reopened, words = reopen_run(words)
        else:
            compose.refuse_sweep(words)
        sys.argv[1:] = words
        hydra.main(config_path=str(compose.conf_folder()), config_name="train", version_base="1.3")(job)()
    except compose.COMPOSITION_ERRORS as error:
        if job.begun:
            raise
        raise compose.explain(error, words) from error
    except JobError as error:
        job.failed.update(dict.fromkeys(error.args, 1))


def _close(job: Job, ended: bool) -> int:
    """The exit code by the failed jobs; of a sweep, show the leaderboard, what failed and how to go on."""
    folder = SweepFolder.folder
    if folder is None:
        return max(job.failed.values(), default=0)
    written = leaderboard.write_or_warn(folder)
    table, comparison = written or (read_table(folder), None)
    if table.jobs:
        write_or_warn(write_sweep_report, folder)
        print(leaderboard.console_text(table, comparison))
    failed, jobs = dict.fromkeys(job.failed, "see its train.log"), launched_jobs(folder, table.jobs)
    if ended and not table.jobs:
        failed[path_from_here(folder)] = "no job has left anything there"
    elsewhere = False
    for each in jobs:
        if owner := owner_of(each.folder):
            elsewhere = True
            print(f"{each.folder.name} is running elsewhere: {owner}")
        elif each.failed or (ended and each.status not in ENDED):
            failed[each.folder.name] = each.error or each.status
    if failed:
        names = "".join(f"\n  {name}: {error}" for name, error in failed.items())
        of_all = pluralize(max(len(jobs), len(failed)), "job")
        print(f"{len(failed)} of {of_all} failed:{names}", file=sys.stderr)
    swept = read_or_empty(read_hydra, folder / "multirun.yaml")
    if not ended and swept:
        print(f"go on: {continue_command(folder, swept)}")
    return int(bool(failed or elsewhere) or not written)


class Job:
    """Hydra's task function: runs a job, says itself what went wrong with it, remembers the failed ones."""

    def __init__(self, command: str) -> None:
        self.command = f"{train_command()} {command}".strip()
        self.begun = 0
        self.failed: dict[str, int] = {}
        self.reopened: DictConfig | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        _accept_own_presets()  # in a launcher's process, which composes its jobs next

    def __call__(self, cfg: DictConfig) -> float | None:
        """Run a job; its objective."""
        self.begun += 1
        hydra_config = HydraConfig.get()
        os.chdir(hydra_config.runtime.cwd)  # paths begin where the user stands, whatever hydra.job.chdir says
        folder = Path(hydra_config.runtime.output_dir)
        with interruptible(STOPPING):  # again: another process may run the job than the one that was launched
            try:
                folders.lock(folder)
            except folders.InUseError:
                if hydra_config.mode != RunMode.MULTIRUN:
                    raise
                return None  # another launch of this sweep runs the job
            try:
                return self._run(cfg if self.reopened is None else self.reopened, folder)
            finally:
                folders.release(folder)

    def _run(self, cfg: DictConfig, folder: Path) -> float | None:
        hydra_config = HydraConfig.get()
        sweep = Path(hydra_config.sweep.dir).resolve() if hydra_config.mode == RunMode.MULTIRUN else None
        machine.keep_freed_memory()
        machine.configure_waiting()  # in a process that was not launched
        import torch

        from dae.run import run

        machine.freeze_imports()
        begun = read_or_empty(read_run, folder).get("threads")
        count = begun if begun and cfg.get("threads") == "auto" else cfg.get("threads", "auto")
        torch.set_num_threads(machine.thread_count(count, hydra_config.launcher))
        code = 1
        try:
            words = [] if self.reopened is not None else list(hydra_config.overrides.task)
            trial = _trial(hydra_config.sweeper, sweep)
            return run(cfg, folder, self.command, words=words, sweep=sweep, trial=trial)
        except (UserError, OSError) as error:
            code = getattr(error, "exit_code", 1)
            log.error("%s", error)
        except Exception:
            log.exception("The run failed: an error of the code, or of something below it")
        except (KeyboardInterrupt, SystemExit) as stop:
            log.warning("Interrupted%s", self._go_on(folder, sweep))
            # Lightning turns Ctrl-C into an exit of its own.
            raise stop if isinstance(stop, Terminated) else KeyboardInterrupt from stop
        finally:
            machine.release_memory()  # what the page takes would come on top of what the stages took
            if code != ConfigError.exit_code and page_is_outdated(folder):
                write_or_warn(write_run_report, folder)
            if sweep:
                leaderboard.write_or_warn(sweep)
        self.failed[folder.name] = code
        if sweep:
            raise JobError(folder.name)  # Hydra goes on with the other jobs
        return None

    def _go_on(self, folder: Path, sweep: Path | None) -> str:
        """How to go on with a run; a sweep says it once, at its end."""
        begun = (folder / "config.yaml").is_file()
        return "" if sweep else f"; go on: {resume_command(folder) if begun else self.command}"


def _accept_own_presets() -> None:
    """Silence Hydra's warning that our presets of the launchers stand in front of the plugins' own."""
    warnings.filterwarnings(
        "ignore", message=r"\s*'hydra/launcher/.*' is validated against ConfigStore schema"
    )


def _trial(sweeper: DictConfig, sweep: Path | None) -> Trial | None:
    """The trial of the search that this job belongs to; None outside of a search."""
    if sweep is None or sweeper.get("trial") is None:
        return None
    from dae.search.search import attach_trial

    return attach_trial(sweeper, sweep)


def register_resolvers() -> None:
    """Register the resolvers of ``conf/``: the names of folders, and how many jobs run side by side."""
    OmegaConf.register_new_resolver("job_folder", job_folder, replace=True)
    OmegaConf.register_new_resolver("suffix", _suffix, replace=True)
    OmegaConf.register_new_resolver("jobs_at_once", machine.jobs_at_once, replace=True)


def _suffix(name: str | None) -> str:
    """What a name adds to the run folder's name; one that leads elsewhere is refused before that is made."""
    if name and not re.fullmatch(r"[\w.-]+", str(name)):
        raise ValueError(f"name={name!r} is no word: letters, digits, _ . -")
    return f"-{name}" if name else ""
