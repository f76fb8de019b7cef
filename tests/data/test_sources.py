from __future__ import annotations

import gzip
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from dae.data import sources
from dae.data.image_set import Split
from dae.errors import UserError


@pytest.mark.mnist
def test_mnist_is_torchvisions_and_its_folder_stays_as_it_is(mnist_root, tmp_path):
    before = sorted((str(file), file.stat().st_mtime_ns) for file in mnist_root.rglob("*"))
    images = sources.mnist(mnist_root, 28, 1)
    assert sorted((str(file), file.stat().st_mtime_ns) for file in mnist_root.rglob("*")) == before
    shutil.copytree(mnist_root, tmp_path, dirs_exist_ok=True)
    (tmp_path / "MNIST" / "raw").chmod(0o755)
    for train, split in ((True, images.train), (False, images.test)):
        reference = datasets.MNIST(str(tmp_path), train=train, download=True)
        assert torch.equal(split.images[:, 0], reference.data)
        assert torch.equal(split.labels, reference.targets)
    assert images.train.images.shape == (60_000, 1, 28, 28)
    assert len(images.classes) == 10


def idx(array: np.ndarray) -> bytes:
    sizes = np.array(array.shape, ">u4").tobytes()
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())


@pytest.fixture
def idx_set(tmp_path, monkeypatch) -> Path:
    """Files of the format and names of KMNIST, with md5 sums of their own."""
    raw = tmp_path / "KMNIST" / "raw"
    raw.mkdir(parents=True)
    generator = np.random.default_rng(0)
    resources = []
    for file, _ in datasets.KMNIST.resources:
        count = 30 if file.startswith("train") else 20
        array = generator.integers(0, 10, (count, 28, 28) if "images" in file else count, np.uint8)
        (raw / file).write_bytes(idx(array))
        resources.append((file, hashlib.md5((raw / file).read_bytes()).hexdigest()))
    monkeypatch.setattr(datasets.KMNIST, "resources", resources)
    return raw


def test_the_other_idx_sets(idx_set):
    images = sources.kmnist(idx_set.parents[1], 28, 1)
    assert images.train.images.shape == (30, 1, 28, 28)
    assert images.test.labels.shape == (20,)
    assert images.classes == tuple(datasets.KMNIST.classes)


def test_a_damaged_file_is_told(idx_set):
    file = idx_set / datasets.KMNIST.resources[0][0]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=rf"{file.name}: its md5 is .*, expected .*Delete it"):
        sources.kmnist(idx_set.parents[1], 28, 1)


def test_a_failed_download_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/mnist/"])
    with pytest.raises(UserError) as caught:
        sources.mnist(tmp_path, 28, 1)
    raw = tmp_path / "MNIST" / "raw"
    expected = ["http://127.0.0.1:9/mnist/", str(raw), "python train.py data=digits"]
    expected.append("train-images-idx3-ubyte.gz  md5 f68b3c2dcbeaaa9fbdd348bbdeb94873")
    assert [text for text in expected if text not in str(caught.value)] == []
    assert [*raw.iterdir()] == [], "nothing half written"


def test_digits():
    images = sources.digits(Path("nowhere"), 28, 1)
    assert images.train.images.shape == (1437, 1, 28, 28)
    assert images.test.images.shape == (360, 1, 28, 28)
    assert images.train.images.max() == 255
    # Stratified: no class is rarer or commoner than the others by more than chance in the source.
    counts = torch.bincount(images.test.labels)
    assert 35 <= counts.min() <= counts.max() <= 37


def test_colour_becomes_grey_as_pillow_makes_it():
    """What a source is trained on, and what ``dae predict`` makes of the same file."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    expected = torch.from_numpy(np.array(Image.fromarray(pixels).convert("L"), int))
    split = Split(torch.from_numpy(pixels).movedim(-1, 0)[None], torch.zeros(1).long())
    assert (split.fitted(8, 1).images[0, 0] - expected).abs().max() <= 1
