from __future__ import annotations

from pathlib import Path

from dae.sweeps.job_names import job_folder
from dae.sweeps.shared import stage1_folder
from helpers import begin_job, write_job


def test_a_job_is_named_after_what_the_sweep_varies():
    overrides = ["seed=0", "data=digits", "dae.noise.p=0.1"]
    name = job_folder(overrides, ["seed", "dae.noise.p"])
    assert name.startswith("p-0.1_seed-0-")
    assert len(name.rpartition("-")[2]) == 6
    assert name == job_folder(overrides[::-1], ["dae.noise.p", "seed"]), "no order matters"
    one_value = job_folder(overrides)
    assert one_value.startswith("p-0.1_data-digits_seed-0-"), "nothing varies"
    assert one_value[-6:] == name[-6:]
    assert job_folder(["seed=1", "seed=2"], ["seed"]) == job_folder(["seed=2"])
    assert job_folder([]).startswith("defaults-")


def test_what_makes_no_run_another_run_is_left_out():
    name = job_folder(["seed=0"])
    for override in ("name=mine", "compare=seed", "hydra.job.chdir=false"):
        key = override.partition("=")[0]
        assert job_folder(["seed=0", override], ["seed", key]) == name
    assert job_folder(["seed=0", "data=digits"], ["seed"]) != name, "the same words, another hash"


def test_keys_with_the_same_end_keep_as_much_as_tells_them_apart():
    overrides = ["classifier.optimizer.lr=1", "dae.optimizer.lr=2", "+dae/noise@dae.reference_noise=block"]
    swept = [text.partition("=")[0] for text in overrides]
    name = job_folder(overrides, swept)
    assert name.startswith("reference_noise-block_classifier.optimizer.lr-1_dae.optimizer.lr-2-")


def test_any_override_is_a_name_that_a_folder_can_have():
    odd = job_folder(["data.root=../a b/(c),d=e", "dae/noise=block"])
    assert not set(odd) & set("=(), /[]")
    many = job_folder([*(f"key{i}=value" for i in range(100)), "seed=3"])
    assert len(many) < 120
    assert many[:-7].endswith("_seed-3"), "whatever is cut off"


def test_a_job_is_found_by_its_hash_and_its_overrides(tmp_path: Path):
    overrides = ["seed=0", "data=digits"]
    begun = begin_job(tmp_path, *overrides)
    assert begun.name != job_folder(overrides, ["seed"])
    assert job_folder(overrides, ["seed"], str(tmp_path)) == begun.name, "whatever its words"
    assert job_folder([*overrides, "name=b"], ["seed"], str(tmp_path)) == begun.name
    other = job_folder(["seed=1"])
    (tmp_path / f"words-{other[-6:]}").mkdir()
    name = job_folder(["seed=1"], ["seed"], str(tmp_path))
    assert name == f"words-{other[-6:]}", "a job was killed before it had written anything there"
    write_job(tmp_path / name, "seed=3")
    name = job_folder(["seed=1"], ["seed"], str(tmp_path))
    assert name.startswith(f"seed-1-{other[-6:]}")
    assert len(name) == len("seed-1-") + 7
    write_job(tmp_path / f"words-{name[-7:]}", "seed=2")
    assert len(job_folder(["seed=1"], [], str(tmp_path))) == len("seed-1-") + 8


def test_a_shared_stage_1_is_named_after_what_it_depends_on(tmp_path: Path):
    swept = "'dae.noise.p','data.labels','seed'"
    job = write_job(
        tmp_path / "job", "dae.noise.p=0.4", "data.labels=10", "data=digits", "seed=0", swept=swept
    )
    first = stage1_folder(tmp_path, job, "2167ebdbecfa")
    assert first == tmp_path / "stage1" / "p-0.4_seed-0-2167eb"
    again = write_job(tmp_path / "again", "data.labels=20", "seed=0", swept="'data.labels'")
    assert stage1_folder(tmp_path, again, "2167ebdbecfa") == first, "found by its digest"
    assert stage1_folder(tmp_path, again, "2167eb000000").name == "shared-2167eb0", "not by a part of it"


def test_a_job_that_was_killed_while_hydra_made_its_folder_has_that_folder(tmp_path: Path):
    overrides = ["seed=0"]
    name = job_folder(overrides, ["seed"], str(tmp_path))
    (tmp_path / name / ".hydra").mkdir(parents=True)
    (tmp_path / name / ".hydra" / "hydra.yaml").touch()
    assert job_folder(overrides, ["seed"], str(tmp_path)) == name
