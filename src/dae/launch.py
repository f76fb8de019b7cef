"""From a command line to a config: where ``conf/`` is, folder names, errors told well, exit codes.

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

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from dae.config.composition import remembered_compositions
from dae.config.diagnosis import COMPOSITION_ERRORS, diagnose, refuse_flags, refuse_sweep
from dae.config.groups import conf_folder
from dae.config.help import help_page
from dae.config.paths import expand_typed_home
from dae.data import shelf
from dae.errors import ConfigError, JobError, TimeUp, UserError, raise_problems
from dae.files import seal_yaml
from dae.report.sweep_end import close_sweep
from dae.report.write import page_is_outdated, write_or_warn, write_run_report
from dae.runs.console import settle_console
from dae.runs.disk import DiskError, disk_error, require_user_folder, told_elsewhere
from dae.runs.interruption import Terminated, held_back, interruptible, signals_kept
from dae.runs.owner import InUseError, claim, release, release_all
from dae.runs.records import read_hydra, read_or_empty, read_run
from dae.runs.saved_config import resume_command
from dae.sweeps.commands import continue_command
from dae.sweeps.hook import SweepFolder
from dae.sweeps.job_names import job_folder
from dae.sweeps.layout import subfolder_problems
from dae.sweeps.leaderboard import rebuild_or_warn
from dae.training.memory import freeze_imports, keep_freed_memory, release_memory
from dae.training.threads import settle_count, settle_waiting
from dae.words import import_from_here, stand_in, train_by, train_command, user_folder

if TYPE_CHECKING:
    from optuna.trial import Trial

log = logging.getLogger(__name__)

STOPPING = "interrupted: saving; again to stop now"


def launch(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: What follows ``train.py``; None takes them from ``sys.argv``.

    Returns:
        The exit code: 0; 2 the command or the config is refused; 1 anything else went wrong, in a sweep any
        job; 130 Ctrl-C; 143 SIGTERM, or ``trainer.max_time`` is up.
    """
    if arguments is not None:
        sys.argv = ["train.py", *arguments]
    typed = sys.argv[1:] = _without_null_resume([expand_typed_home(word) for word in sys.argv[1:]])
    settle_console()
    if typed in (["--help"], ["-h"]):
        print(help_page())
        return 0
    sweep = {"-m", "--multirun"} & set(typed)
    # Hydra takes the flag before all overrides or after them, not between.
    words = ["-m", *(word for word in typed if word not in sweep)] if sweep else typed
    # conf/trainer lists all arguments of the Trainer, so that + adds nothing.
    sys.argv[1:] = [re.sub(r"^\++(?=trainer\.\w+=)", "", word) for word in words]
    # Hydra raises its errors instead of printing them and leaving.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    _accept_own_presets()
    register_resolvers()
    settle_waiting()
    jobs = _Jobs(shlex.join(typed))
    SweepFolder.lines, SweepFolder.folder = None, Path()
    exit_code = None
    with interruptible(STOPPING), remembered_compositions():
        try:
            try:
                exit_code = _compose_and_run(jobs, sweep=bool(sweep))
            finally:
                with held_back():
                    release_all()  # what Hydra did not come to run
                    shelf.clear()
                    # Also on Ctrl-C or after an error: who leads so far is worth knowing then, too.
                    failed = jobs.closing(ended=exit_code == 0)
                    # Else the next command of this process would be told with the words of this one.
                    HydraConfig.instance().cfg = None
                    stand_in(None)
        except Terminated as stopped:
            return int(str(stopped.code))
    return exit_code or failed


def _compose_and_run(jobs: _Jobs, sweep: bool) -> int:
    """The exit code; the jobs themselves know which of them have failed."""
    try:
        with signals_kept():
            require_user_folder()
            import_from_here()
            refuse_flags(sys.argv[1:])
            if any(word.startswith("resume=") for word in sys.argv[1:]):
                from dae.runs.resume import reopen_run

                jobs.reopened, sys.argv[1:] = reopen_run(sys.argv[1:])
            elif sweep:
                refuse_sweep(sys.argv[1:])
            hydra.main(config_path=str(conf_folder()), config_name="train", version_base="1.3")(jobs)()
    except JobError as error:
        jobs.failed.update(dict.fromkeys(error.args, 1))
        return 0
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except COMPOSITION_ERRORS as error:
        if jobs.begun:
            raise
        refused = diagnose(sys.argv[1:], error)
        print(refused, file=sys.stderr)
        return refused.exit_code
    except Exception as error:
        told = disk_error(error, SweepFolder.folder)
        if told is None:
            raise
        print(told, file=sys.stderr)
        return told.exit_code
    except SystemExit as exit_:
        if not isinstance(exit_.__cause__, UserError):
            raise
        print(exit_.__cause__, file=sys.stderr)
        return exit_.__cause__.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


class _Jobs:
    """Hydra's task function: runs a job, says itself what went wrong with it, remembers the failed ones."""

    def __init__(self, command: str) -> None:
        self.train = train_command()
        self.command = f"{self.train} {command}".strip()
        self.begun = 0
        self.failed: dict[str, int] = {}
        self.reopened: DictConfig | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        train_by(self.train)
        _accept_own_presets()  # in a launcher's process, which composes its jobs next

    def __call__(self, cfg: DictConfig) -> float | None:
        self.begun += 1
        settings = HydraConfig.get()
        stand_in(Path(settings.runtime.cwd))
        folder = Path(settings.runtime.output_dir)
        with interruptible(STOPPING):  # again: another process may run the job than the one that was launched
            try:
                with signals_kept():
                    claim(folder)
            except InUseError:
                if settings.mode != RunMode.MULTIRUN:
                    raise
                return None  # another launch of this sweep runs the job
            try:
                return self._run(cfg, folder)
            finally:
                release(folder)

    def _run(self, cfg: DictConfig, folder: Path) -> float | None:
        settings = HydraConfig.get()
        is_job = settings.mode == RunMode.MULTIRUN
        sweep = (user_folder() / settings.sweep.dir).resolve() if is_job else None
        keep_freed_memory()
        settle_waiting()  # in a process that was not launched
        from dae.run import run

        freeze_imports()
        refused = False
        try:
            if self.reopened is None:  # else Hydra has written nothing
                for file in (folder / ".hydra").glob("*.yaml"):
                    seal_yaml(file)
            settle_count(
                read_run(folder, changed=True).get("threads"), settings.launcher.get("cpus_per_task")
            )
            if sweep:
                place = os.path.relpath(folder.resolve(), sweep)
                raise_problems(subfolder_problems(Path(place).as_posix()))
            with told_elsewhere():
                return run(
                    cfg if self.reopened is None else self.reopened,
                    folder,
                    self.command,
                    extended=self.reopened is not None,
                    sweep=sweep,
                    trial=_trial(settings.sweeper, sweep),
                )
        except UserError as error:
            go_on = self._go_on(folder, sweep) if isinstance(error, DiskError) else ""
            log.error("%s%s", error, go_on)
            self.failed[folder.name] = error.exit_code
            refused = error.exit_code == ConfigError.exit_code
        except Exception as error:
            self.failed[folder.name] = 1
            if told := disk_error(error, folder):
                log.error("%s%s", told, self._go_on(folder, sweep))
            else:
                log.exception("The run failed: an error of the code, or of something below it")
        except TimeUp as up:
            log.warning("Interrupted: %s%s", up, self._go_on(folder, sweep))
            self.failed[folder.name] = up.exit_code
        except (KeyboardInterrupt, SystemExit) as stop:
            log.warning("Interrupted%s", self._go_on(folder, sweep))
            # Lightning turns Ctrl-C into an exit of its own.
            raise stop if isinstance(stop, Terminated) else KeyboardInterrupt from stop
        finally:
            with held_back():
                if sweep is None:
                    shelf.clear()
                release_memory()  # what the page takes would come on top of what the stages took
                if not refused and page_is_outdated(folder):  # what is refused leaves its result alone
                    write_or_warn(write_run_report, folder)
                if sweep:
                    rebuild_or_warn(sweep)
        if sweep:
            raise JobError(folder.name)  # Hydra goes on with the other jobs
        return None

    def _go_on(self, folder: Path, sweep: Path | None) -> str:
        """How to go on with a run; a sweep says it once, at its end."""
        if sweep:
            return ""
        begun = (folder / "config.yaml").is_file()
        return f"; go on: {resume_command(folder) if begun else self.command}"

    def closing(self, ended: bool) -> int:
        """The exit code; of a sweep, show the leaderboard and name the failed jobs.

        Args:
            ended: Whether all jobs were run.
        """
        if SweepFolder.lines is not None:
            folder = SweepFolder.lines.folder
            SweepFolder.lines.close()
            failed = close_sweep(folder, self.failed, ended, SweepFolder.allow_targets)
            hydra = read_or_empty(read_hydra, folder / "multirun.yaml")
            if not ended and hydra:
                print(f"go on: {continue_command(folder, hydra)}")
            return failed
        return max(self.failed.values(), default=0)


def _without_null_resume(words: list[str]) -> list[str]:
    """The words without any ``resume=`` if the last of them is ``resume=null``: a run of its own begins."""
    given = [word for word in words if word.startswith("resume=")]
    return [word for word in words if word not in given] if given[-1:] == ["resume=null"] else words


def _accept_own_presets() -> None:
    """Silence Hydra's warning that our presets of the launchers stand in front of the plugins' own."""
    warnings.filterwarnings(
        "ignore", message=r"\s*'hydra/launcher/.*' is validated against ConfigStore schema"
    )


def _trial(sweeper: DictConfig, sweep: Path | None) -> Trial | None:
    """The trial of the search that this job belongs to; None outside of a search."""
    if sweep is None or sweeper.get("trial") is None:
        return None
    from dae.search.study import attach_trial

    return attach_trial(sweeper, sweep)


def register_resolvers() -> None:
    """Register the resolvers by which ``conf/train.yaml`` names folders."""
    OmegaConf.register_new_resolver("job_folder", job_folder, replace=True)
    OmegaConf.register_new_resolver("suffix", _suffix, replace=True)


def _suffix(name: str | None) -> str:
    """What a name adds to the run folder's name; one that leads elsewhere is refused before that is made."""
    if name and not re.fullmatch(r"[\w.-]+", str(name)):
        raise ValueError(f"name={name!r} is no word")  # the check of the config says the rest
    return f"-{name}" if name else ""
