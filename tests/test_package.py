from __future__ import annotations

import re
import subprocess
import sys
import zipfile

import dae
from dae.config.compose import conf_folder, group_choices, group_names
from helpers import Page, add_job
from outcome import REPOSITORY


def test_the_wheel_holds_the_package_and_its_configs(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.startswith(f"lightning_dae-{dae.__version__}-")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    # The modules, and the templates of the report.
    sources = (file for file in (REPOSITORY / "src").rglob("*.*") if file.suffix != ".pyc")
    modules = {file.relative_to(REPOSITORY / "src").as_posix() for file in sources}
    assert "dae/report/run.html.jinja" in modules
    configs = {
        f"dae/conf/{file.relative_to(conf_folder()).as_posix()}" for file in conf_folder().rglob("*.yaml")
    }
    configs = {name for name in configs if not name.startswith("dae/conf/local/")}
    assert modules | configs == {name for name in names if ".dist-info/" not in name}
    # It works from there, before the checkout on the path.
    site = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})"
    code = f"{site}; from dae.cli import main; main(['train', '--cfg', 'job'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert done.stdout.startswith("stage: both")
    code = f"{site}; from dae.cli import main; sys.exit(main(['report', sys.argv[1]]))"
    folder = add_job(tmp_path, "seed=0", value=0.5)
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, cwd=tmp_path, timeout=60)
    Page(folder).assert_well_formed()
    (entry_points,) = tmp_path.glob("site/*.dist-info/entry_points.txt")
    assert "dae = dae.__main__:main" in entry_points.read_text()


def test_groups_are_read_from_the_files(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py"])
    assert "dae/noise" in group_names()
    assert group_choices("dae/noise") == ["block", "dropout", "gaussian", "mask", "none", "salt_pepper"]
    assert group_choices("nothing") == []


def test_nothing_unfinished():
    for file in (REPOSITORY / "src").rglob("*.py"):
        assert not re.search(r"TODO|FIXME|XXX|except.*:\s*pass|strict=False", file.read_text()), file
