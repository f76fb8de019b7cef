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

from dae.data.image_set import Split
from dae.data.sources import SOURCES, known_source
from dae.errors import UserError


@pytest.mark.mnist
def test_mnist_is_torchvisions_and_its_folder_stays_as_it_is(mnist_root, tmp_path):
    before = sorted((str(file), file.stat().st_mtime_ns) for file in mnist_root.rglob("*"))
    images = SOURCES["mnist"](mnist_root, 28, 1)
    assert sorted((str(file), file.stat().st_mtime_ns) for file in mnist_root.rglob("*")) == before
    shutil.copytree(mnist_root, tmp_path, dirs_exist_ok=True)
    (tmp_path / "MNIST" / "raw").chmod(0o755)
    for train, split in ((True, images.train), (False, images.test)):
        reference = datasets.MNIST(str(tmp_path), train=train, download=True)
        assert torch.equal(split.images[:][:, 0], reference.data)
        assert torch.equal(split.labels, reference.targets)
    assert images.train.images.shape == (60_000, 1, 28, 28)
    assert len(images.classes) == 10
    # The unpacked files that torchvision leaves serve alone, too.
    for file in (tmp_path / "MNIST" / "raw").glob("*.gz"):
        file.unlink()
    assert SOURCES["mnist"](tmp_path, 28, 1).checksum == images.checksum


def idx(array: np.ndarray) -> bytes:
    sizes = np.array(array.shape, ">u4").tobytes()
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())


@pytest.mark.parametrize(("name", "folder"), [("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")])
def test_the_other_idx_sets(name, folder, tmp_path, monkeypatch):
    """Files of their format and names with the md5 sums of torchvision's list replaced by their own."""
    dataset = getattr(datasets, folder)
    raw = tmp_path / folder / "raw"
    raw.mkdir(parents=True)
    generator = np.random.default_rng(0)
    resources = []
    for file, _ in dataset.resources:
        count = 30 if file.startswith("train") else 20
        array = generator.integers(0, 10, (count, 28, 28) if "images" in file else count, np.uint8)
        (raw / file).write_bytes(idx(array))
        resources.append((file, hashlib.md5((raw / file).read_bytes()).hexdigest()))
    monkeypatch.setattr(dataset, "resources", resources)
    images = SOURCES[name](tmp_path, 28, 1)
    assert images.train.images.shape == (30, 1, 28, 28)
    assert images.test.labels.shape == (20,)
    assert images.classes == tuple(dataset.classes)


def test_a_failed_download_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/mnist/"])
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(b"half a file")
    with pytest.raises(UserError) as caught:
        SOURCES["mnist"](tmp_path, 28, 1)
    text = str(caught.value)
    assert "http://127.0.0.1:9/mnist/" in text
    assert str(raw) in text
    assert "train-images-idx3-ubyte.gz  md5 f68b3c2dcbeaaa9fbdd348bbdeb94873  (missing)" in text
    assert "t10k-labels-idx1-ubyte.gz  md5 ec29112dd5afa0611ce80d1b7f02629c  (there, but its md5 is" in text
    assert "python train.py data=digits" in text


def test_digits():
    images = SOURCES["digits"](Path("nowhere"), 28, 1)
    assert images.train.images.shape == (1437, 1, 28, 28)
    assert images.test.images.shape == (360, 1, 28, 28)
    assert images.train.images[:].dtype == torch.uint8
    assert images.train.images[:].max() == 255
    # Stratified: no class is rarer or commoner than the others by more than chance in the source.
    counts = torch.bincount(images.test.labels)
    assert counts.min() >= 35
    assert counts.max() <= 37


@pytest.mark.parametrize(("size", "channels"), [(32, 1), (28, 3), (16, 3)])
def test_images_are_fitted(size, channels):
    images = SOURCES["digits"](Path("nowhere"), size, channels)
    assert images.train.images.shape[1:] == (channels, size, size)
    if channels == 3:
        assert torch.equal(images.train.images[:][:, 0], images.train.images[:][:, 2])


def test_colour_becomes_grey_by_its_mean():
    colour = torch.tensor([0, 30, 90], dtype=torch.uint8).reshape(1, 3, 1, 1).expand(1, 3, 8, 8)
    assert (Split(colour, torch.zeros(1)).fitted(8, 1).images[:] == 40).all()


def make_folder(root: Path, classes: dict[str, int], mode: str = "RGB") -> None:
    for number, (name, count) in enumerate(classes.items()):
        (root / name).mkdir(parents=True)
        for position in range(count):
            level = 40 * number + position
            Image.new(mode, (20 + position, 30), level if mode == "L" else (level, 0, 0)).save(
                root / name / f"{position}.png"
            )


def test_image_folder_with_its_own_test_set(tmp_path):
    make_folder(tmp_path / "train", {"cat": 6, "dog": 7})
    make_folder(tmp_path / "test", {"cat": 2, "dog": 3})
    images = SOURCES["image_folder"](tmp_path, 16, 3)
    assert images.classes == ("cat", "dog")
    assert torch.bincount(images.train.labels).tolist() == [6, 7]
    assert torch.bincount(images.test.labels).tolist() == [2, 3]
    assert images.train.images.shape == (13, 3, 16, 16)
    assert images.train.images[:][6, :, 8, 8].tolist() == [40, 0, 0]


def test_image_folder_without_one(tmp_path):
    make_folder(tmp_path, {"a": 10, "b": 10}, mode="L")
    images = SOURCES["image_folder"](tmp_path, 12, 1)
    assert torch.bincount(images.test.labels).tolist() == [2, 2]
    assert torch.bincount(images.train.labels).tolist() == [8, 8]
    again = SOURCES["image_folder"](tmp_path, 12, 1)
    assert again.checksum == images.checksum


def test_image_folder_errors(tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        SOURCES["image_folder"](tmp_path / "nowhere", 16, 1)
    with pytest.raises(UserError, match="class folder"):
        SOURCES["image_folder"](tmp_path, 16, 1)
    make_folder(tmp_path / "few", {"a": 10, "b": 3})
    with pytest.raises(UserError, match=r"too few in b \(3\)"):
        SOURCES["image_folder"](tmp_path / "few", 16, 1)
    make_folder(tmp_path / "two" / "train", {"a": 5, "b": 5})
    make_folder(tmp_path / "two" / "test", {"a": 5, "c": 5})
    with pytest.raises(UserError, match="differ: b, c"):
        SOURCES["image_folder"](tmp_path / "two", 16, 1)
    (tmp_path / "two" / "train" / "a" / "1.png").write_bytes(b"not a picture")
    with pytest.raises(UserError, match=r"1\.png cannot be read as an image"):
        SOURCES["image_folder"](tmp_path / "two" / "train", 16, 1)
    for file in (tmp_path / "few" / "b").iterdir():
        file.unlink()
    with pytest.raises(UserError, match=r"few/b: found no image, expected files \*\.jpg"):
        SOURCES["image_folder"](tmp_path / "few", 16, 1)


def test_names():
    assert known_source("mnist") == "mnist"
    with pytest.raises(ValueError, match="the nearest is mnist"):
        known_source("mnsit")
