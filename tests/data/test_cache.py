from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dae.data.cache import ImageCache
from dae.errors import UserError

IMAGES = np.arange(6 * 4, dtype=np.uint8).reshape(6, 1, 2, 2)


def cache(root: Path, key: str = "key", name: str = "all") -> ImageCache:
    made = ImageCache(root, name, key, IMAGES.shape)
    assert made.writable() is None
    return made


def found(root: Path) -> list[int] | None:
    images = cache(root).find()
    return None if images is None else images[:].flatten().tolist()


def names(root: Path) -> list[str]:
    return sorted(file.name for file in (root / ".dae_cache").iterdir())


def test_what_is_written_is_found_and_is_a_plain_npy_file(tmp_path):
    assert found(tmp_path) is None
    written = cache(tmp_path).write([IMAGES[:4], IMAGES[4:]])
    assert np.array_equal(written[:], IMAGES)
    assert found(tmp_path) == list(range(24))
    assert np.array_equal(np.load(tmp_path / ".dae_cache" / "all_key.npy", mmap_mode="r"), IMAGES)


def test_an_interrupted_write_leaves_nothing(tmp_path):
    def interrupted() -> Iterator[np.ndarray]:
        yield IMAGES[:4]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache(tmp_path).write(interrupted())
    assert names(tmp_path) == []


def test_a_killed_process_leaves_no_cache_and_its_rest_goes_in_time(tmp_path):
    def killed() -> Iterator[np.ndarray]:
        yield IMAGES[:4]
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        cache(tmp_path).write(killed())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    (rest,) = names(tmp_path)
    assert found(tmp_path) is None
    cache(tmp_path).write([IMAGES])
    assert names(tmp_path) == [rest, "all_key.npy"], "it might be of a living one"
    os.utime(tmp_path / ".dae_cache" / rest, (0, 0))
    cache(tmp_path, "new").write([IMAGES])
    assert names(tmp_path) == ["all_new.npy"]


def test_two_that_write_at_once_are_both_right(tmp_path):
    one, other = cache(tmp_path), cache(tmp_path)
    inner = []

    def meanwhile() -> Iterator[np.ndarray]:
        yield IMAGES[:4]
        inner.append(other.write([IMAGES]))
        yield IMAGES[4:]

    outer = one.write(meanwhile())
    assert np.array_equal(outer[:], IMAGES)
    assert np.array_equal(inner[0][:], IMAGES)
    assert names(tmp_path) == ["all_key.npy"]


def test_one_key_a_name(tmp_path):
    for name, key in (("all", "old"), ("train", "old"), ("all", "new")):
        cache(tmp_path, key, name).write([IMAGES])
    assert names(tmp_path) == ["all_new.npy", "train_old.npy"]


def test_one_of_another_shape_is_not_taken(tmp_path):
    cache(tmp_path).write([IMAGES])
    assert ImageCache(tmp_path, "all", "key", (7, 1, 2, 2)).find() is None


def test_a_full_disk(tmp_path):
    def full() -> Iterator[np.ndarray]:
        yield IMAGES[:4]
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"0\.0 GB, could not be written: .*No space left.*Make room"):
        cache(tmp_path).write(full())
    assert names(tmp_path) == []
