from __future__ import annotations

from pathlib import Path

from dae.sweeps.names import DIGITS, job_folder
from dae.sweeps.shared import stage1_folder
from helpers import begin_job, write_job


def test_a_job_is_named_after_what_the_sweep_varies():
    overrides = ["seed=0", "data=digits", "dae.noise.p=0.1"]
    name = job_folder(overrides, ["seed", "dae.noise.p"])
    assert name.startswith("p-0.1_seed-0-")
    assert len(name.rpartition("-")[2]) == DIGITS == 10
    assert name == job_folder(overrides[::-1], ["dae.noise.p", "seed"]), "no order matters"
    assert job_folder(overrides).startswith("p-0.1_data-digits_seed-0-"), "nothing varies"
    assert job_folder(["seed=1", "seed=2"], ["seed"]) == job_folder(["seed=2"])
    assert job_folder([]).startswith("defaults-")


def test_what_makes_no_run_another_run_is_left_out():
    name = job_folder(["seed=0"])
    for override in ("name=mine", "compare=seed", "hydra.job.chdir=false"):
        assert job_folder(["seed=0", override], ["seed", override.partition("=")[0]]) == name
    assert job_folder(["seed=0", "data=digits"], ["seed"]) != name, "the same words, another hash"


def test_any_override_is_a_name_that_a_folder_can_have():
    odd = job_folder(["data.root=../a b/(c),d=e", "dae/noise=block"])
    assert not set(odd) & set("=(), /[]")
    many = job_folder([*(f"key{i}=value" for i in range(100)), "seed=3"])
    assert len(many) < 120
    assert many[: -DIGITS - 1].endswith("_seed-3"), "whatever is cut off"


def test_a_job_is_found_by_its_hash_whatever_its_words(tmp_path: Path):
    overrides = ["seed=0", "data=digits"]
    begun = begin_job(tmp_path, *overrides)
    assert begun.name != job_folder(overrides, ["seed"])
    assert job_folder(overrides, ["seed"], str(tmp_path)) == begun.name
    assert job_folder([*overrides, "name=b"], ["seed"], str(tmp_path)) == begun.name


def test_a_shared_stage_1_is_named_after_what_it_depends_on(tmp_path: Path):
    words = ("dae.noise.p=0.4", "data.labels=10", "data=digits", "seed=0")
    job = write_job(tmp_path / "job", *words, swept="dae.noise.p,data.labels,seed")
    first = stage1_folder(tmp_path, job, "2167ebdbecfa")
    assert first == tmp_path / "stage1" / "p-0.4_seed-0-2167ebdbec"
    first.mkdir(parents=True)
    again = write_job(tmp_path / "again", "data.labels=20", "seed=0", swept="data.labels")
    assert stage1_folder(tmp_path, again, "2167ebdbecfa") == first, "found by its digest"
