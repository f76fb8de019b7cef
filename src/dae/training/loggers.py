"""TensorBoard, with an HPARAMS tab that holds both stages of every run; CSV files that go on."""

from __future__ import annotations

import csv
import time
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf
from pytorch_lightning import loggers
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
from tensorboard.plugins.hparams.summary_v2 import hparams_pb

# What watches a run, or says where things are: as columns of HPARAMS they would hide the others.
NO_HYPERPARAMETERS = ("callbacks", "logger", "allow_targets", "objective", "threads")


Status = Literal["completed", "failed", "interrupted"]


class TensorBoardLogger(loggers.TensorBoardLogger):
    """Lightning's logger, its event files right in ``save_dir``, HPARAMS as the tab wants it.

    Lightning (and torch's ``add_hparams``) write an experiment record a run, and the tab takes its metric
    columns from one of those alone: the metrics of one stage would hide the other's. So only the records of
    the session are written here, and the tab shows the union of all runs. Both stages' sessions carry the
    name of their run, so that a run is one row. A stage 1 that the jobs of a sweep share belongs to no run:
    it opens no session, and each job logs its results beside those of stage 2.

    Args:
        save_dir: Folder of the stage.
    """

    def __init__(self, save_dir: str | Path) -> None:
        super().__init__(str(save_dir), name="", version="", default_hp_metric=False)
        self._session_open = False

    def log_hyperparams(
        self,
        params: dict[str, Any] | Namespace,
        metrics: dict[str, Any] | None = None,
        step: int | None = None,
    ) -> None:
        """Open the session."""
        flat = hyperparameters(vars(params) if isinstance(params, Namespace) else params)
        run = Path(self.save_dir).resolve().parent
        self._add(hparams_pb(flat, trial_id=f"{run.parent.name}/{run.name}"))
        self._session_open = True

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write scalars. The epoch is the x-axis already, so Lightning's ``epoch`` is left out."""
        super().log_metrics({name: value for name, value in metrics.items() if name != "epoch"}, step)

    def save(self) -> None:
        """Flush; Lightning's ``hparams.yaml`` would repeat the run's ``config.yaml``."""
        if self._experiment is not None:
            self.experiment.flush()

    def finalize(self, status: str) -> None:
        """Flush after a loop; the session ends with the stage, in ``close``."""
        self.save()

    def close(self, status: Status) -> None:
        """End the session as ``completed`` or not, and close the file."""
        if self._session_open:
            code = api_pb2.STATUS_SUCCESS if status == "completed" else api_pb2.STATUS_FAILURE
            ended = HParamsPluginData(session_end_info=SessionEndInfo(status=code, end_time_secs=time.time()))
            value = Summary.Value(
                tag=metadata.SESSION_END_INFO_TAG,
                metadata=metadata.create_summary_metadata(ended),
                tensor=metadata.NULL_TENSOR,
            )
            self._add(Summary(value=[value]))
            self._session_open = False
        self.experiment.close()

    def _add(self, summary: Summary) -> None:
        self.experiment._get_file_writer().add_summary(summary)


def begin(logger: loggers.Logger, config: dict[str, Any], epochs: int, shared: bool) -> None:
    """Log the config; go on in what was logged until the checkpoint that the fit goes on from.

    Args:
        logger: That has logged nothing yet.
        config: The run's.
        epochs: How many that checkpoint has behind it; 0 at the start.
        shared: Whether the stage is trained for several runs: then it is no row of HPARAMS.
    """
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_text("config", f"```yaml\n{OmegaConf.to_yaml(config)}```")
    elif isinstance(logger, loggers.CSVLogger):
        _keep_rows(logger, epochs)
    if not (shared and isinstance(logger, TensorBoardLogger)):
        logger.log_hyperparams(config)


def end(logger: loggers.Logger, status: Status) -> None:
    """Close what belongs to one stage; the next one has loggers of its own."""
    if isinstance(logger, TensorBoardLogger):
        logger.close(status)
    elif isinstance(logger, loggers.WandbLogger):
        logger.experiment.finish(exit_code=0 if status == "completed" else 1)


def _keep_rows(logger: loggers.CSVLogger, epochs: int) -> None:
    """Keep the rows until an epoch's end, which Lightning would delete; the others are logged again."""
    file = Path(logger.log_dir) / "metrics.csv"
    if not file.is_file():
        return
    with file.open(newline="", encoding="utf-8") as opened:
        rows = [row for row in csv.DictReader(opened) if not any(map(_logged_again, row.items()))]
    # Steps count epochs, or the images seen, which are more; an epoch's last row is that of its training.
    ends = [index for index, row in enumerate(rows, 1) if float(row["step"]) <= epochs]
    logger.experiment.metrics = rows[: max(ends, default=0)]  # the experiment deletes the file
    logger.save()


def _logged_again(cell: tuple[str, str]) -> bool:
    name, value = cell
    return bool(value) and ("/test/" in name or name.startswith("result/"))


def result_scalars(metrics: Mapping[str, float]) -> dict[str, float]:
    """The names under which the metrics of the checkpoint that counts are logged.

    HPARAMS shows the last value of a scalar. Of a test metric there is one. The name of a validation metric
    belongs to its curve, which may end at another epoch: it stands under ``result``.
    """
    return {f"result/{name}" if "/val/" in name else name: value for name, value in metrics.items()}


def hyperparameters(node: Any, path: str = "") -> dict[str, bool | int | float | str]:
    """The leaves of a config that make a difference, by their full key paths.

    ``dae.noise._target_: dae.models.noise.Dropout`` becomes ``dae.noise: Dropout``; lists and nulls are text.
    """
    if isinstance(node, dict):
        found: dict[str, bool | int | float | str] = {}
        for key, value in node.items():
            if (not path and key in NO_HYPERPARAMETERS) or key == "_partial_":
                continue
            if key == "_target_":
                found[path] = value.rpartition(".")[2]
            else:
                found.update(hyperparameters(value, f"{path}.{key}" if path else key))
        return found
    return {path: node if isinstance(node, bool | int | float) else str(node)}
