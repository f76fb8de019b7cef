"""From a command line to a config: where ``conf/`` is, folder names, errors told well, exit codes.

Torch is not imported before a job begins, so that ``--help``, ``--cfg`` and completion answer at once.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dae.allocator import keep_freed_memory
from dae.errors import ConfigError, JobError, UserError
from dae.groups import conf_folder

if TYPE_CHECKING:
    from optuna.trial import Trial

log = logging.getLogger(__name__)


class Terminated(SystemExit):
    """SIGTERM, as an exception, so that the run writes its result on its way out."""


def launch(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: What follows ``train.py``; None takes them from ``sys.argv``.

    Returns:
        The exit code: 0; 2 the command or the config is refused; 1 anything else went wrong, in a sweep any
        job; 130 Ctrl-C; 143 SIGTERM.
    """
    if arguments is not None:
        sys.argv = ["train.py", *arguments]
    typed = sys.argv[1:]
    sweep = {"-m", "--multirun"} & set(typed)
    # Hydra takes the flag before all overrides or after them, not between.
    sys.argv[1:] = ["-m", *(word for word in typed if word not in sweep)] if sweep else typed
    # Hydra raises its errors instead of printing them and leaving.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    register_resolvers()
    previous = signal.signal(signal.SIGTERM, _terminate)
    jobs = _Jobs(shlex.join(["python", "train.py", *typed]))
    try:
        if sweep:
            from dae.diagnosis import refuse_sweep

            refuse_sweep(sys.argv[1:])
        hydra.main(config_path=str(conf_folder()), config_name="train", version_base="1.3")(jobs)()
    except JobError:
        return jobs.closing() or 1  # jobs in other processes were not seen here
    except ConfigError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        if jobs.begun:
            raise
        from dae.diagnosis import diagnose

        refused = diagnose(sys.argv[1:], error)
        print(refused, file=sys.stderr)
        return refused.exit_code
    except Terminated:
        return 143
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGTERM, previous)
    return jobs.closing()


class _Jobs:
    """Hydra's task function: runs a job, says itself what went wrong with it, remembers the failed ones."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.begun = 0
        self.failed: dict[str, int] = {}
        self.sweep = False

    def __call__(self, cfg: DictConfig) -> float | None:
        self.begun += 1
        settings = HydraConfig.get()
        folder = Path(settings.runtime.output_dir)
        self.sweep = settings.mode == RunMode.MULTIRUN
        keep_freed_memory()
        from dae.run import run

        try:
            return run(cfg, folder, self.command, _trial(settings.sweeper))
        except UserError as error:
            log.error("%s", error)
            self.failed[folder.name] = error.exit_code
        except Exception:
            log.exception("The run failed: an error of the code, or of something below it")
            self.failed[folder.name] = 1
        except SystemExit as exit_:
            # Lightning turns Ctrl-C into an exit of its own.
            raise exit_ if isinstance(exit_, Terminated) else KeyboardInterrupt from exit_
        if self.sweep:
            raise JobError  # Hydra goes on with the other jobs
        return None

    def closing(self) -> int:
        """The exit code; of a sweep, name the failed jobs."""
        if self.sweep and self.failed:
            names = "".join(f"\n  {name}" for name in self.failed)
            print(f"{len(self.failed)} of {self.begun} jobs failed:{names}", file=sys.stderr)
            return 1
        return max(self.failed.values(), default=0)


def _trial(sweeper: DictConfig) -> Trial | None:
    """The trial of a search that this job is."""
    if sweeper.get("trial") is None:
        return None
    from dae.sweeps.study import attach

    return attach(sweeper)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated(143)


def register_resolvers() -> None:
    """What ``conf/train.yaml`` names its folders with."""
    OmegaConf.register_new_resolver("job_folder", job_folder, replace=True)
    OmegaConf.register_new_resolver("suffix", lambda name: f"-{name}" if name else "", replace=True)


def job_folder(overrides: Sequence[str]) -> str:
    """``p-0.1_seed-0-3c6e21``: a readable slug of a job's overrides and six digits of their hash.

    The order in which they were typed does not matter; of two for the same key the later counts.
    """
    by_key = dict(override.partition("=")[::2] for override in overrides)
    ordered = sorted(f"{key}={value}" for key, value in by_key.items())
    digits = hashlib.sha256("\n".join(ordered).encode()).hexdigest()[:6]
    words = []
    for override in ordered:
        key, _, value = override.partition("=")
        short = re.split(r"[./@]", key)[-1]
        words.append(re.sub(r"[^\w.]+", "-", f"{short}-{value}").strip("-."))
    slug = "_".join(words)[:100].rstrip("-_.")
    return f"{slug}-{digits}" if slug else f"defaults-{digits}"
