"""Weights & Biases and MLflow, each with one run a stage.

Such a run is named after the stage's folder, and its id is kept there: a stage that goes on, goes on in it.
What was logged between the checkpoint that a fit goes on from and the interruption is logged again, at the
same steps and with the same values, as the fit repeats them.

Any other logger of Lightning's, or of the user's own, needs no code here: a node in a yaml file, with
``_partial_: true``, since the stage adds ``save_dir``, its folder.
"""

from __future__ import annotations

import os
import re
import secrets
from argparse import Namespace
from pathlib import Path
from typing import Any

from pytorch_lightning import loggers

from dae.errors import UserError
from dae.files import DamagedFileError, read_text, write_text_atomically
from dae.training.loggers import EndsWithStage, Status, hyperparameters
from dae.words import path_from_here, user_folder

# As the user has set it: mlflow itself sets it to whatever store is in use.
TRACKING_URI = os.environ.get("MLFLOW_TRACKING_URI")


class WandbLogger(EndsWithStage, loggers.WandbLogger):
    """One run of Weights & Biases a stage: grouped by the run folder, tagged with the sweep.

    Args:
        save_dir: Folder of the stage; the files lie in its ``wandb/``.
        project: Where the runs are listed.
        entity: The user or team that it belongs to; None for the default one.
        offline: Send nothing; ``wandb sync`` does so later. ``WANDB_MODE=offline`` does the same.
    """

    EXTRA = "wandb"

    def __init__(
        self,
        save_dir: str | Path,
        project: str = "lightning-dae",
        entity: str | None = None,
        offline: bool = False,
    ) -> None:
        folder = Path(save_dir).resolve()
        file, (sweep, run) = folder / "wandb.id", sweep_and_run(folder)
        identity = kept_id(file) or secrets.token_hex(4)
        super().__init__(
            name=f"{folder.parent.name}/{folder.name}"[-128:],
            save_dir=folder,
            id=identity,
            project=project,
            entity=entity,
            mode="offline" if offline else None,
            group=run[-128:],
            job_type=folder.name,
            tags=[sweep[-64:]] if sweep else None,
            settings={"console": "off", "quiet": True},  # the run's output is in its train.log
        )
        self._wandb_init.pop("anonymous", None)  # wandb warns of it, and Lightning gives it always
        write_text_atomically(file, identity)

    def close(self, status: Status) -> None:
        """End the run; an exit code other than 0 makes it a failed one."""
        if self._experiment is not None:
            self._experiment.finish(exit_code={"completed": 0, "failed": 1, "interrupted": 130}[status])
            self._experiment = None


class MLFlowLogger(EndsWithStage, loggers.MLFlowLogger):
    """One run of MLflow a stage, tagged with its run folder, its sweep and the stage.

    Args:
        save_dir: Folder of the stage.
        experiment_name: Under which the runs are listed.
        tracking_uri: A server or a database; None for ``$MLFLOW_TRACKING_URI``, or else ``mlflow.db`` where
            the command is typed.
    """

    EXTRA = "mlflow"

    def __init__(
        self,
        save_dir: str | Path,
        experiment_name: str = "lightning-dae",
        tracking_uri: str | None = None,
    ) -> None:
        # Before it is imported: a local store reports nothing to anybody.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        folder = Path(save_dir).resolve()
        self.file, (sweep, run) = folder / "mlflow.id", sweep_and_run(folder)
        local = (user_folder() / "mlflow.db").as_posix().replace("%", "%25").replace("?", "%3F")
        super().__init__(
            experiment_name=experiment_name,
            run_name=f"{folder.parent.name}/{folder.name}",
            tracking_uri=tracking_uri or TRACKING_URI or f"sqlite:///{local}",
            tags={"stage": folder.name, "run": run, **({"sweep": sweep} if sweep else {})},
            run_id=kept_id(self.file),
        )

    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Begin the run or go on with it, whose parameters stay: those that have changed become tags.

        Raises:
            UserError: The store does not know the run that the stage has begun with.
        """
        import mlflow  # an extra

        mlflow.set_tracking_uri(self._tracking_uri)
        mlflow.set_experiment(self._experiment_name)  # several jobs may want to create it at once
        try:
            client, identity = self.experiment, str(self.run_id)
        except mlflow.MlflowException as error:
            if self._run_id is None:
                raise
            name = path_from_here(self.file)
            advice = f"bring that store back, or log to a new run: rm {name}"
            raise UserError(f"the run in {name} cannot be gone on with: {error}\n      {advice}") from error
        write_text_atomically(self.file, identity)
        client.update_run(identity, status="RUNNING")
        flat = hyperparameters(vars(params) if isinstance(params, Namespace) else params)
        there = client.get_run(identity).data.params
        super().log_hyperparams({key: value for key, value in flat.items() if key not in there})
        for key, value in flat.items():
            if there.get(key, str(value)[:250]) != str(value)[:250]:
                client.set_tag(identity, key, value)

    def finalize(self, status: str = "success") -> None:
        """Nothing after a loop; the run ends with the stage, in ``close``."""

    def close(self, status: Status) -> None:
        """End the run."""
        if self._initialized:
            ended = {"completed": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
            self.experiment.set_terminated(self.run_id, ended[status])


def sweep_and_run(folder: Path) -> tuple[str | None, str]:
    """The names of the sweep, if there is one, and of the run folder as seen from where that lies.

    Args:
        folder: Of a stage; in the ``stage1`` of a sweep, too.
    """
    run = folder.parent
    sweep = next((place for place in run.parents[:2] if (place / "multirun.yaml").is_file()), None)
    return (sweep.name, run.relative_to(sweep.parent).as_posix()) if sweep else (None, run.name)


def kept_id(file: Path) -> str | None:
    """The id of the run that a stage has begun with; None if it has none yet.

    Raises:
        DamagedFileError: It is no id.
    """
    text = read_text(file)
    if text is not None and not re.fullmatch(r"[0-9a-f]{8,32}", text):
        raise DamagedFileError(file, "it is no id of a run", "Delete it: then the stage logs to a new one.")
    return text
