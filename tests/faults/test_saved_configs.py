"""Run folders of others, and damaged ones: what is in them is data, and damage is told."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.utils import instantiate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markupsafe import Markup
from omegaconf import DictConfig, OmegaConf

from dae.cli import main
from dae.config.settings import Settings, check_saved_config, find_problems
from dae.errors import ConfigError, Problem, UserError
from dae.files import DamagedFileError, read_json, read_yaml, sealed, write_json
from dae.keys import leaves
from dae.report.run_page import run_page
from dae.report.scalars import read_scalars, series_of
from dae.report.write import templates, write_run_report
from dae.runs.records import read_hydra, read_result, read_run, read_stage, read_tested
from dae.runs.resume import reopen_run
from dae.runs.saved_config import (
    KEYS,
    read_saved_config,
    resume_words,
    saved_problems,
    write_saved_config,
)
from dae.sweeps.jobs import read_overrides
from dae.sweeps.leaderboard import rebuild_leaderboard
from helpers import SMOKE, Page, add_job, composed
from outcome import Train

Tally = Callable[[str, str], None]
LOGGED = (*SMOKE, "logger=csv")
ANY_TIME: dict[str, Any] = {
    "derandomize": True,
    "database": None,
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
}

# What runs code, or opens a way to it, if it is called.
FUNCTIONS = (
    *("sympy.sympify", "os.system", "builtins.exec", "builtins.eval", "subprocess.Popen", "runpy.run_path"),
    *("importlib.import_module", "pickle.loads", "torch.load", "webbrowser.open", "this.s", "shutil.rmtree"),
    *(
        "hydra.utils.instantiate",
        "hydra.utils.get_object",
        "dae.run.build",
        "dae.config.building.instantiate",
    ),
    *("dae.launch.launch", "dae.__main__.main", "dae.runs.stage_result.discard_stage", "dae.os.system"),
    *("pytorch_lightning.cli.LightningCLI", "pytorch_lightning.Trainer.fit", "torch.optim.Optimizer.step"),
    *("torch.optim.sys.exit", "dae.models.noise.annotations", "dae.files.write_text_atomically", "dae", ""),
)
# The same by a way that is no name of a function.
RESOLVED = (
    "${oc.env:HOME}",
    "${oc.create:{_target_: os.system, command: 'touch PWNED'}}",
    "${oc.decode:'[1, 2]'}",
    "${now:%Y}",
    "${seed}",
    "???",
    "a\0b",
)
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1e308,
    10**18,
    "",
    "x" * 10_000,
    [],
    {},
    [[1]],
    {"a": {"b": [1, {"c": 2}]}},
    2.5,
)
RUNNING = ("os.system", "subprocess.Popen", "os.posix_spawn", "os.exec", "os.fork", "shutil.rmtree")
FOREIGN = ("sympy", "webbrowser", "this", "antigravity", "runpy")


class Watch:
    """Notes whatever runs, is written or is imported that should not be, while it is on."""

    def __init__(self) -> None:
        self.on = False
        self.seen: list[tuple[str, str]] = []
        sys.addaudithook(self.note)

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        runs = event in (
            "os.system",
            "subprocess.Popen",
            "os.posix_spawn",
            "os.exec",
            "os.fork",
            "shutil.rmtree",
        )
        foreign = event == "import" and str(arguments[0]).split(".")[0] in FOREIGN
        if runs or foreign or (writes and not isinstance(arguments[0], int)):
            self.seen.append((event, str(arguments[0])))

    @contextmanager
    def __call__(self) -> Iterator[None]:
        hidden = {name: sys.modules.pop(name) for name in FOREIGN if name in sys.modules}
        self.on, self.seen = True, []
        try:
            yield
        finally:
            self.on = False
            sys.modules.update(hidden)


WATCH = Watch()


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    """The config of a small run, as a saved one holds it."""
    cfg = composed(*SMOKE, "callbacks=[confusion]", "logger=csv")
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


def save(folder: Path, config: Any) -> Path:
    """A run folder with a config that says of itself that it is whole."""
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "config.yaml").write_text(sealed(yaml.safe_dump(config)), encoding="utf-8")
    return folder


def reopened(folder: Path, *words: str) -> DictConfig:
    """What ``resume=folder`` would run, checked as it would be."""
    cfg, _ = reopen_run([f"resume={folder}", *words])
    check_saved_config(cfg)
    return cfg


def put(config: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of a config with another value at a key path."""
    changed = copy.deepcopy(config)
    *parents, last = path.split(".")
    node = changed
    for key in parents:
        node = node[key]
    node[last] = value
    return changed


def node(target: str, sentinel: Path, **more: Any) -> dict[str, Any]:
    code = f"__import__('pathlib').Path({str(sentinel)!r}).touch()"
    return {
        "_target_": target,
        "a": code,
        "command": f"touch {sentinel}",
        "args": ["touch", str(sentinel)],
        **more,
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("callbacks.x", {"_target_": "sympy.sympify", "a": "{code}"}),
        ("callbacks.x", {"_target_": "dae.config.building.instantiate", "config": {"_target_": "os.system"}}),
        ("callbacks.x", {"_target_": "pytorch_lightning.cli.LightningCLI"}),
        ("data.root", {"_target_": "os.system", "command": "touch {sentinel}"}),
        ("trainer.log_every_n_steps", {"_target_": "dae.models.noise.NoNoise"}),
        ("dae.encoder.widths", [{"_target_": "dae.models.noise.NoNoise"}, 16, 16]),
        ("dae.optimizer.lr", {"_target_": "torch.optim.Adam", "params": []}),
        ("dae.optimizer", {"_target_": "builtins.exec", "_partial_": True}),
        ("dae.scheduler", {"_target_": "dae.runs.stage_result.discard_stage", "_partial_": True}),
        ("dae.noise", {"_target_": "dae.models.noise.NoNoise", "_args_": ["{code}"]}),
        ("dae.noise", {"_target_": "dae.models.noise.NoNoise", "_recursive_": False}),
        ("dae.noise", {"_target_": "dae.models.noise.NoNoise", "_convert_": "all"}),
        *(
            ("logger.x", {"_target_": "pytorch_lightning.loggers.CSVLogger", "_partial_": True, "name": out})
            for out in ("/tmp/x", "a/../../x", "~/x", "C:\\\\x")
        ),
        ("callbacks.x", {"_target_": "pytorch_lightning.callbacks.ModelCheckpoint", "dirpath": "/tmp/x"}),
        ("logger.x", {"_target_": "pytorch_lightning.loggers.WandbLogger", "_partial_": True,
                      "experiment": {"_target_": "pytorch_lightning.cli.LightningCLI"}}),
        ("data.root", "${oc.env:HOME}"),
        ("name", "???"),
        ("seed", {"_target_": ["os.system"]}),
        ("dae", {"_target_": "os.system"}),
        ("trainer", {"_target_": "dae.__main__.main", "_partial_": True}),
        ("allow_targets", ["os", "sympy", "builtins"]),
    ],
)  # fmt: skip
def test_a_saved_config_runs_nothing(plain, tmp_path, path, value):
    sentinel = tmp_path / "PWNED"
    text = json.dumps(value).replace("{code}", "print()").replace("{sentinel}", str(sentinel))
    config = put(plain, path, json.loads(text))
    if path == "allow_targets":
        config = put(config, "callbacks.x", node("sympy.sympify", sentinel))
    folder = save(tmp_path / "theirs", config)
    with WATCH(), pytest.raises(UserError) as caught:
        reopened(folder)
    assert WATCH.seen == []
    assert not sentinel.exists()
    assert path.split(".")[0] in str(caught.value) or "callbacks.x" in str(caught.value)


def test_who_lets_a_callback_write_elsewhere_goes_on(plain, tmp_path):
    written = {"_target_": "pytorch_lightning.callbacks.ModelCheckpoint", "dirpath": str(tmp_path / "mine")}
    config = put(plain, "callbacks.x", written)
    folder = save(tmp_path / "own", config)
    assert resume_words(folder).endswith("'allow_targets=[pytorch_lightning]'")
    assert [*saved_problems(config, folder, ["pytorch_lightning"])] == []


def test_a_whole_command_refuses_before_anything_is_changed(train: Train, plain, tmp_path):
    sentinel = tmp_path / "PWNED"
    folder = save(tmp_path / "theirs", put(plain, "callbacks.x", node("sympy.sympify", sentinel)))
    done = train(f"resume={folder}")
    assert done.exit_code == 2
    assert "asks to build sympy.sympify; only classes of dae, torch.optim, pytorch_lightning" in done.err
    assert "'allow_targets=[sympy]'" in done.err
    assert "Traceback" not in done.text
    assert {file.name for file in folder.iterdir()} == {"config.yaml"}
    done = train(f"resume={folder}", "allow_targets=[sympy]")
    assert done.exit_code == 2
    assert "callbacks.x._target_: sympy.sympify is not a pytorch_lightning Callback" in done.text
    assert not sentinel.exists()


def test_what_a_command_admits_goes_on(train: Train):
    """A class of the user's own: the printed command works, and the folder's own list counts for nothing."""
    begun = train(
        *SMOKE, "stage=dae", "+callbacks.gambler={_target_: helpers.Gambler}", "allow_targets=[helpers]"
    )
    assert begun.exit_code == 0
    refused = train(f"resume={begun.folder}")
    assert refused.exit_code == 2
    assert "callbacks.gambler._target_:" in refused.err
    command = f"python train.py resume=outputs/{begun.folder.name} 'allow_targets=[helpers]'"
    assert command in refused.err
    assert command in run_page(begun.folder)["run"].resume()
    on = train(f"resume={begun.folder}", "allow_targets=[helpers]", "dae.epochs=2")
    assert on.exit_code == 0
    assert on.result["status"] == "completed"
    assert read_saved_config(begun.folder)["dae"]["epochs"] == 2


def test_the_schema_of_a_fresh_config_holds_its_kinds_alone(monkeypatch):
    """The user's own classes come from anywhere; a node where none is expected is not even imported."""
    assert not find_problems(composed(*SMOKE, "+callbacks.x={_target_: helpers.Gambler}"))
    wrong = {
        "data.root": "{_target_: this.s}",
        "trainer.log_every_n_steps": "{_target_: this.s}",
        "dae.encoder.widths": "[{_target_: this.s},16,16]",
        "+callbacks.x": "{_target_: os.system}",
        "++dae.optimizer.betas": "[0.9,{_target_: this.s}]",
    }
    with WATCH():
        found = [
            [str(p) for p in find_problems(composed(*SMOKE, f"{key}={value}"))]
            for key, value in wrong.items()
        ]
    assert WATCH.seen == []
    for key, problems in zip(wrong, found, strict=True):
        assert any(problem.startswith(key.lstrip("+")) for problem in problems), key
    assert "os.system is not a pytorch_lightning Callback" in str(found[3])


def test_a_saved_config_has_all_of_the_schema():
    assert {*KEYS} == set(Settings.__annotations__)  # older runs know of no task


def test_an_emptied_config_is_refused_and_stays(train: Train, finished: Train, tmp_path):
    folder = shutil.copytree(finished(*LOGGED).folder, tmp_path / "run")
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    (folder / "config.yaml").write_text("")
    done = train(f"resume={folder}")
    assert done.exit_code != 0
    assert "config.yaml cannot be read: it is empty. Bring it back from a copy" in done.err
    assert "Traceback" not in done.text
    assert (folder / "config.yaml").read_text() == ""
    after = {file: file.read_bytes() for file in before}
    assert after == {**before, folder / "config.yaml": b""}


def test_a_kill_while_a_config_is_replaced_leaves_the_old_one(tmp_path, monkeypatch):
    write_saved_config(tmp_path, composed(*SMOKE))
    old = read_saved_config(tmp_path)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            write_saved_config(tmp_path, composed(*SMOKE, "dae.epochs=9"))
    assert read_saved_config(tmp_path) == old
    write_saved_config(tmp_path, composed(*SMOKE, "dae.epochs=9"))
    assert read_saved_config(tmp_path)["dae"]["epochs"] == 9


# Each small file, and what a resumed run reads it by.
STAGES = ("dae", "classifier")


def of_stage(read: Callable[[Path], Any], stage: str, folder: Path) -> Any:
    return read(folder / stage)


FILES: dict[str, Callable[[Path], Any]] = {
    "config.yaml": read_saved_config,
    "result.json": read_result,
    "run.json": read_run,
    **{f"{stage}/stage.json": partial(of_stage, read_stage, stage) for stage in STAGES},
    **{f"{stage}/test.json": partial(of_stage, read_tested, stage) for stage in STAGES},
    ".hydra/overrides.yaml": read_overrides,
    ".hydra/hydra.yaml": lambda folder: read_hydra(folder / ".hydra" / "hydra.yaml"),
}
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "binary": lambda content: bytes(range(256)),
    "a list": lambda content: b"[1, 2]\n",
    "a word": lambda content: b"3\n",
    "tags": lambda content: b"!!python/object/apply:os.system ['touch PWNED']\n",
    "deep": lambda content: b"[" * 100_000,
    "wrong types": lambda content: (
        b'{"status": 5, "threads": "x", "metrics": [1], "epochs": "x", "hydra": 7, "images": {}}'
    ),
}


def read_all(folder: Path) -> dict[str, Any]:
    """What each reader finds, or the words of its refusal."""
    found = {}
    for name, read in FILES.items():
        try:
            found[name] = read(folder)
        except DamagedFileError as error:
            found[name] = str(error)
    return found


def page_text(folder: Path) -> str:
    return templates().get_template("run.html.jinja").render(run_page(folder))


@pytest.fixture
def copied(finished: Train, tmp_path: Path) -> Path:
    """A finished run that may be changed."""
    return shutil.copytree(finished(*LOGGED).folder, tmp_path / "run")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without charts, which take the most time."""
    monkeypatch.setattr("dae.report.run_page.line_chart", lambda *_, **__: Markup(""))


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_and_the_page_goes_on(copied: Path, monkeypatch, damage):
    monkeypatch.chdir(copied.parent)
    for name, read in FILES.items():
        file = copied / name
        file.write_bytes(DAMAGES[damage](file.read_bytes()))
        with pytest.raises(DamagedFileError) as caught:
            read(copied)
        assert f"run/{name} cannot be read: " in str(caught.value)
        assert caught.value.remedy
        assert str(caught.value).endswith(caught.value.remedy)
        if name == "config.yaml":
            text = page_text(copied)
            assert "run/config.yaml cannot be read" in text
            assert "classifier/test/accuracy" in text, "the rest is there"
    text = page_text(copied)
    # Without figures nobody asks for the values of each image.
    asked = [name for name in FILES if not name.endswith("test.json")]
    assert [name for name in asked if f"run/{name} cannot be read" not in text] == []
    assert not (copied.parent / "PWNED").exists()


def test_a_damaged_file_ends_a_resumed_run_in_words(train: Train, copied: Path):
    for name in ("run.json", "dae/stage.json"):
        file = copied / name
        whole = file.read_bytes()
        if name == "dae/stage.json":
            (copied / "result.json").unlink()
        file.write_bytes(whole[:-40])
        done = train(f"resume={copied}")
        assert done.exit_code in (1, 2), name
        assert f"{name} cannot be read: " in done.text
        assert "Traceback" not in done.text
        file.write_bytes(whole)


def test_a_run_whose_result_was_changed_goes_on_and_writes_it_anew(train: Train, copied: Path):
    file = copied / "result.json"
    whole = json.loads(file.read_text())
    file.write_text(file.read_text().replace('"completed"', '"interrupted"'))
    done = train(f"resume={copied}")
    assert done.exit_code == 0, done.text
    assert "result.json cannot be read: it is not what was written there" in done.text
    anew = json.loads(file.read_text())
    assert {**anew, "seconds": None} == {**whole, "seconds": None}
    assert read_result(copied)["status"] == "completed"


def test_what_was_written_by_hand_is_read_without_a_digest(tmp_path):
    (tmp_path / "run.json").write_text('{"command": "python train.py", "threads": 2}')
    assert read_run(tmp_path) == {"command": "python train.py", "threads": 2}
    write_json(tmp_path / "x.json", {"a": 0.1, "b": {"10": 1, "2": 2}, "c": float("nan")})
    assert read_json(tmp_path / "x.json") == {"a": 0.1, "b": {"10": 1, "2": 2}, "c": None}
    changed = (tmp_path / "x.json").read_text().replace("0.1", "0.2")
    (tmp_path / "x.json").write_text(changed)
    with pytest.raises(DamagedFileError, match="not what was written there"):
        read_json(tmp_path / "x.json")
    write_saved_config(tmp_path, composed(*SMOKE))
    text = (tmp_path / "config.yaml").read_text()
    for changed in (text.replace("seed: 0", "seed: 1"), text.partition("\n")[2], text[: text.rindex("#")]):
        (tmp_path / "config.yaml").write_text(changed)
        with pytest.raises(DamagedFileError, match="not what was written there"):
            read_saved_config(tmp_path)
    (tmp_path / "y.yaml").write_text("a: 1e-3\nb: 2020-01-01\nc: 1.5\nd: yes\n")
    assert read_yaml(tmp_path / "y.yaml") == {"a": 1e-3, "b": "2020-01-01", "c": 1.5, "d": True}


def test_a_job_whose_overrides_are_damaged_is_told_among_the_others(tmp_path):
    add_job(tmp_path, "seed=0", value=0.5)
    broken = add_job(tmp_path, "seed=1", value=0.9)
    (broken / ".hydra" / "overrides.yaml").write_bytes(b"\xff")
    (tmp_path / "multirun.yaml").write_text("hydra: [")
    board = rebuild_leaderboard(tmp_path)
    assert [job.status for job in board.jobs] == ["completed", "broken"]
    text = (tmp_path / "leaderboard.md").read_text()
    assert "overrides.yaml cannot be read: it is not text" in text
    assert "multirun.yaml cannot be read" in text


def test_a_page_holds_nothing_from_outside_of_its_folder(copied: Path, tmp_path):
    secret = tmp_path / "elsewhere"
    (secret / "dae").mkdir(parents=True)
    (secret / "passwd").write_text("TOP SECRET")
    shutil.copy(copied / "dae" / "metrics.csv", secret / "dae" / "metrics.csv")
    (secret / "dae" / "reconstructions.png").write_bytes(b"\x89PNG TOP SECRET")
    for name in ("train.log", "classifier/test.json"):
        (copied / name).unlink(missing_ok=True)
        (copied / name).symlink_to(secret / "passwd")
    shutil.move(copied / "dae", copied / "mine")
    (copied / "dae").symlink_to(secret / "dae")
    write_json(copied / "result.json", {**read_result(copied), "error": "why", "shared_from": "../elsewhere"})
    text = Page(write_run_report(copied).parent).text
    assert "SECRET" not in text
    assert "train.log cannot be read: it leads out of" in text
    assert "data:image" not in (copied / "report.html").read_text()
    with pytest.raises(ConfigError, match="leads out of the run folder"):
        reopen_run([f"resume={copied}"])


def test_a_job_that_is_a_link_gets_no_page_elsewhere(tmp_path, capsys):
    elsewhere = add_job(tmp_path / "other", "seed=3", value=0.1)
    sweep = tmp_path / "sweep"
    add_job(sweep, "seed=0", value=0.5)
    (sweep / "linked").symlink_to(elsewhere)
    assert main(["report", str(sweep)]) == 0
    assert not (elsewhere / "report.html").exists()
    assert "leads out of" in Page(sweep).text


def test_a_leaderboard_shows_names_and_runs_none(tmp_path):
    add_job(tmp_path, "stage=<script>alert(1)</script>|x", "seed=0", value=0.5)
    add_job(
        tmp_path, "stage=[a](javascript:b)", "seed=0", value=0.4, error="one\n<img src=x>", status="failed"
    )
    rebuild_leaderboard(tmp_path)
    text = (tmp_path / "leaderboard.md").read_text()
    outside = "".join(text.split("```")[::2])
    assert "<script>" not in outside
    assert "<img" not in outside
    assert "&lt;script>alert(1)&lt;/script>\\|x" in outside
    assert "](" not in outside


TERMINAL = "\x1b[2J\x1b]0;evil\x07"


def test_no_terminal_obeys_what_is_in_a_sweep(tmp_path, capsys):
    add_job(tmp_path, f"stage={TERMINAL}", "seed=0", value=0.5)
    add_job(tmp_path, "stage=b", "seed=0", value=0.4, error=TERMINAL, status="failed")
    hydra = {"hydra": {"overrides": {"task": [f"name={TERMINAL}"]}}}
    (tmp_path / "multirun.yaml").write_text(yaml.safe_dump(hydra))
    assert main(["leaderboard", str(tmp_path)]) == 0
    assert r"name=\x1b[2J" in capsys.readouterr().out
    for file in tmp_path.glob("*.*"):
        assert "\x1b" not in file.read_text(), file.name
    problem = Problem(f"callbacks.{TERMINAL}", "is not known")
    assert str(ConfigError([problem])).endswith(r"callbacks.\x1b[2J\x1b]0;evil\x07: is not known")


@pytest.mark.parametrize("number", [1.7e308, -1e200])
def test_a_number_that_is_no_figure_is_told(copied: Path, number):
    file = copied / "dae" / "stage.json"
    content = read_json(file)
    write_json(file, {**content, "seconds": number})
    assert read_json(file)["seconds"] is None
    file.write_text(json.dumps({**content, "seconds": number}))
    with pytest.raises(DamagedFileError, match=r"seconds is .*, no number that is measured"):
        read_json(file)
    (copied / "dae" / "metrics.csv").write_text(f"step,dae/val/loss\n1,{number}\n2,0.5\n3,{-number}\n")
    assert series_of([read_scalars(copied / "dae" / "metrics.csv")]) == {"dae/val/loss": [(2.0, 0.5)]}


@pytest.mark.parametrize("name", ["dae/metrics.csv", "dae/events.out.tfevents.1"])
def test_a_pipe_in_the_place_of_curves_is_not_waited_for(copied: Path, name):
    (copied / name).unlink(missing_ok=True)
    os.mkfifo(copied / name)
    assert "it is not a file" in Page(write_run_report(copied).parent).text


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "a b", "a/b"])
def test_a_name_that_leads_elsewhere_makes_no_folder(train: Train, tmp_path, name):
    done = train(*SMOKE, f'name="{name}"', place="deep")
    assert done.exit_code == 2
    assert f"name: found {name!r}, expected a string matching" in done.err
    assert "Traceback" not in done.text
    assert [path.name for path in tmp_path.rglob("*")] == ["deep"]


HOSTILE = st.one_of(
    st.sampled_from(FUNCTIONS).map(lambda name: {"_target_": name}),
    st.sampled_from(FUNCTIONS).map(lambda name: {"_target_": name, "_partial_": True}),
    st.sampled_from(FUNCTIONS).map(lambda name: [{"deep": {"_target_": name}}]),
    st.sampled_from(FUNCTIONS).map(lambda name: {"_target_": "dae.models.noise.NoNoise", "_args_": [name]}),
    st.sampled_from(RESOLVED),
    st.sampled_from(ODD),
    st.integers(1, 400).map(lambda depth: json.loads("[" * depth + "]" * depth)),
)


BUILT = ("data", "dae.noise", "dae.optimizer", "dae.scheduler", "trainer", "logger", "callbacks")


def attempt(config: dict[str, Any], folder: Path, path: str, value: Any) -> str:
    """What becomes of a run folder with this value, in the words of the summary."""
    sentinel = folder / "PWNED"
    if isinstance(value, dict) and "_target_" in value:
        value = {**node(value["_target_"], sentinel), **value}
    save(folder, put(config, path, value))
    outcome = "taken as data"
    with WATCH():
        try:
            cfg = reopened(folder)
            for key in (
                "data",
                "dae.noise",
                "dae.optimizer",
                "dae.scheduler",
                "trainer",
                "logger",
                "callbacks",
            ):
                instantiate(OmegaConf.select(cfg, key), _convert_="all")
        except UserError:
            outcome = "refused in words"
    return "code run" if WATCH.seen or sentinel.exists() else outcome


def places(config: dict[str, Any]) -> list[str]:
    """The path of every key, nodes too."""
    found = {path for path, _ in leaves(config)}
    for path in list(found):
        while "." in path:
            path = path.rpartition(".")[0]
            found.add(path)
    return sorted(found)


def hostile(
    examples: int, plain: dict[str, Any], folder: Path, tally: Callable[[str, str], None] | None
) -> None:
    @settings(max_examples=examples, **ANY_TIME)
    @given(path=st.sampled_from(places(plain)), value=HOSTILE)
    def try_one(path: str, value: Any) -> None:
        outcome = attempt(plain, folder, path, value)
        if tally:
            tally("saved configs, hostile values", outcome)
        assert outcome != "code run", WATCH.seen

    try_one()


def test_hostile_values_are_data(plain, tmp_path):
    hostile(15, plain, tmp_path / "run", None)


@pytest.mark.faults
def test_hostile_values_are_data_for_long(plain, tmp_path, tally):
    hostile(150, plain, tmp_path / "run", tally)


def damaged(content: bytes, seed: int) -> bytes:
    """The content after one of the things that happen to files."""
    luck = random.Random(seed)
    kind, place = luck.randrange(7), luck.randrange(max(1, len(content)))
    if kind == 0:
        return content[:place]
    if kind == 1:
        return content[place:]
    if kind == 2:  # a hole
        return content[:place] + bytes(min(64, len(content) - place)) + content[place + 64 :]
    if kind == 3:
        return content[:place] + luck.randbytes(luck.randrange(1, 30)) + content[place:]
    if kind == 4:  # a number or a word that is another
        swapped = bytearray(content)
        digits = [index for index, byte in enumerate(content) if chr(byte).isalnum()]
        for index in luck.sample(digits, min(2, len(digits))):
            swapped[index] = luck.choice(b"0123456789abcxyz")
        return bytes(swapped)
    if kind == 5:
        lines = content.splitlines(keepends=True)
        luck.shuffle(lines)
        return b"".join(lines)
    flipped = bytearray(content)
    for _ in range(luck.choice((1, 1, 2, 20))):
        flipped[luck.randrange(len(flipped))] ^= 1 << luck.randrange(8)
    return bytes(flipped)


def damage_at_random(examples: int, run: Path, tally: Tally | None) -> None:
    whole = read_all(run)
    assert all(not isinstance(content, str) for content in whole.values())

    @settings(max_examples=examples, **ANY_TIME)
    @given(name=st.sampled_from(sorted(FILES)), seed=st.integers(0, 2**32))
    def try_one(name: str, seed: int) -> None:
        file = run / name
        content = file.read_bytes()
        file.write_bytes(damaged(content, seed))
        try:
            found = read_all(run)
            text = page_text(run)
            outcome = "read the same"
            if isinstance(found[name], str):
                assert f"{name} cannot be read" in text
                outcome = "refused in words and marked on the page"
            elif found != whole:
                outcome = "wrong without a word"
        except Exception as error:
            outcome = f"traceback: {type(error).__name__}: {error}"
        finally:
            file.write_bytes(content)
        if tally:
            tally("json and yaml of a run, random damage", outcome.partition(":")[0])
        assert outcome in ("read the same", "refused in words and marked on the page"), outcome

    try_one()


@pytest.mark.usefixtures("undrawn")
def test_random_damage_is_told(copied: Path):
    damage_at_random(12, copied, None)


@pytest.mark.faults
@pytest.mark.usefixtures("undrawn")
def test_random_damage_is_told_for_long(copied: Path, tally):
    damage_at_random(800, copied, tally)
