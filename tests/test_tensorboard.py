"""TensorBoard itself, started on a run and asked over its HTTP API."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from PIL import Image

SECONDS = 60


class Client:
    """Asks a running TensorBoard."""

    def __init__(self, address: str) -> None:
        self.address = address

    def bytes(self, path: str, body: Any = None, **query: Any) -> bytes:
        url = f"{self.address}data/{path}" + (f"?{urlencode(query)}" if query else "")
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"} if data else {}
        with urlopen(Request(url, data, headers), timeout=SECONDS) as answer:
            return answer.read()

    def ask(self, path: str, body: Any = None, **query: Any) -> Any:
        return json.loads(self.bytes(path, body, **query))


@pytest.fixture(scope="module")
def board(watched_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(watched_run.parent)]
    options = ["--port", "0", "--load_fast", "false", "--samples_per_plugin", "images=100"]
    said = tmp_path_factory.mktemp("board") / "tensorboard.log"
    with said.open("w+") as log:
        process = subprocess.Popen([*command, *options], stdout=log, stderr=log)
        try:
            yield Client(_address(said))
        finally:
            process.terminate()
            process.wait(SECONDS)


def _address(log: Path) -> str:
    """What it says where it is, once all runs are loaded."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        found = re.search(r"http://\S+", log.read_text())
        try:
            if found and len(Client(found.group()).ask("runs")) == 2 + 1 + 4:
                return found.group()
        except URLError:
            pass
        time.sleep(0.2)
    raise TimeoutError(log.read_text())


def eventually(ask: Any) -> Any:
    """The answer once there is one: a tab appears some seconds after its runs."""
    deadline = time.monotonic() + SECONDS
    while not (answer := ask()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return answer


def tags(board: Client, plugin: str) -> dict[str, set[str]]:
    """Of the run, by stage."""
    found = eventually(lambda: board.ask(f"plugin/{plugin}/tags"))
    return {Path(run).name: set(names) for run, names in found.items() if Path(run).parent.name == "run"}


def result_tag(metric: str) -> str:
    """Where a metric of ``result.json`` stands: the name of one on validation belongs to its curve."""
    return f"result/{metric}" if "/val/" in metric else metric


def test_scalars(board: Client, watched_run: Path):
    metrics = json.loads((watched_run / "result.json").read_text())["metrics"]

    def all_tags() -> dict[str, set[str]] | None:
        """Of each stage, once the last of them, of the test, are loaded."""
        found = tags(board, "scalars")
        loaded = all({name, f"result/{name}"} & found[name.split("/")[0]] for name in metrics)
        return found if loaded else None

    found = eventually(all_tags)
    for name, value in metrics.items():
        stage = name.split("/")[0]
        (tag,) = {name, f"result/{name}"} & found[stage] if "/test/" in name else {f"result/{name}"}
        assert tag == result_tag(name)
        ((_, step, shown),) = board.ask("plugin/scalars/scalars", run=f"run/{stage}", tag=tag)
        assert shown == pytest.approx(value)
        assert step in (1, 2)
    assert "dae/train/gradient_norm" in found["dae"]


def test_images(board: Client):
    found = tags(board, "images")
    assert found["dae"] == {
        *(f"pictures/dae/{name}" for name in ("reconstructions", "filters")),
        *(f"pictures/result/dae/{name}" for name in ("reconstructions", "robustness", "latent")),
    }
    assert found["classifier"] == {
        f"pictures/{prefix}classifier/{name}"
        for prefix in ("", "result/")
        for name in ("confusion", "calibration", "mistakes")
    }
    for stage, names in found.items():
        for name in names:
            shown = board.ask("plugin/images/images", run=f"run/{stage}", tag=name, sample=0)
            picture = board.bytes(f"plugin/images/individualImage?{shown[-1]['query']}")
            assert Image.open(BytesIO(picture)).width > 400
    shown = board.ask("plugin/images/images", run="run/dae", tag="pictures/dae/reconstructions", sample=0)
    assert [image["step"] for image in shown] == [1, 2]


def test_time_series_open_on_curves(board: Client):
    """They are in groups, sorted by the first word of their tags."""
    curves = {tag for names in tags(board, "scalars").values() for tag in names}
    groups = sorted({tag.split("/")[0] for tag in curves})
    assert groups == ["classifier", "dae", "result"]
    for plugin in ("images", "histograms"):
        for names in tags(board, plugin).values():
            assert min(tag.split("/")[0] for tag in names) > "dae"


def test_hyperparameters_are_a_row_a_run_with_the_results_of_both_stages(board: Client, watched_run: Path):
    jobs = [file.parent for file in sorted((watched_run.parent / "sweep").glob("*/result.json"))]
    assert len(jobs) == 4
    results = {
        f"{run.parent.name}/{run.name}": json.loads((run / "result.json").read_text())["metrics"]
        for run in (watched_run, *jobs)
    }
    names = results[f"{watched_run.parent.name}/run"]

    def columns() -> list[dict[str, Any]]:
        experiment = board.ask("plugin/hparams/experiment", {"experimentName": ""})
        return [info["name"] for info in experiment.get("metricInfos", [])]

    found = {column["tag"]: column for column in eventually(columns)}
    request = {
        "experimentName": "",
        "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
        "colParams": [{"metric": found[result_tag(name)]} for name in names],
        "startIndex": 0,
        "sliceSize": 10,
    }
    rows = board.ask("plugin/hparams/session_groups", request)["sessionGroups"]
    assert {row["name"] for row in rows} == set(results)
    for row in rows:
        shown = {value["name"]["tag"]: value["value"] for value in row["metricValues"]}
        for name, value in results[row["name"]].items():
            assert shown[result_tag(name)] == pytest.approx(value)
        assert -1 not in shown.values()
        assert row["hparams"]["dae.noise.p"] == 0.2
    hidden = [row["hparams"]["classifier.hidden"] for row in rows]
    assert sorted(hidden) == [8, 8, 16, 16, 64]


def test_projector(board: Client, watched_run: Path):
    (run,) = eventually(lambda: board.ask("plugin/projector/runs"))
    (embedding,) = board.ask("plugin/projector/info", run=run)["embeddings"]
    assert embedding["tensorShape"] == [360, 256]
    name = embedding["tensorName"]
    tensor = board.bytes("plugin/projector/tensor", run=run, name=name)
    assert len(tensor) == 360 * 256 * 4
    labels = board.bytes("plugin/projector/metadata", run=run, name=name).decode().split()
    assert len(labels) == 360
    assert set(labels) == set("0123456789")
    assert board.bytes("plugin/projector/sprite_image", run=run, name=name).startswith(b"\x89PNG")
    assert embedding["sprite"]["singleImageDim"] == [28, 28]
