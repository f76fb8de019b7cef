"""A folder of images, decoded once and read from its cache, in memory or not."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dae.data import decoding
from dae.data.decoding import Decoding, read_images
from dae.data.folder import list_images
from dae.data.image_set import ImageSet, Split
from dae.data.images import ImageDataModule
from dae.data.sources import SOURCES
from dae.data.stored import StoredImages
from dae.errors import UserError
from dae.runs.checkpoint import content_hash, read
from helpers import QUIET
from outcome import Train


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """200 images of 2 classes, each of its own grey and size."""
    for number in range(200):
        place = tmp_path / "images" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        picture = np.full((20 + number % 3, 24), number, np.uint8)
        picture[4:12, 4:12] = np.random.default_rng(number).integers(0, 255, (8, 8))
        Image.fromarray(picture).save(place / f"{number:03}.png")
    return tmp_path / "images"


def read_folder(root: Path, image_size: int = 16, channels: int = 1, **more: Any) -> ImageSet:
    return SOURCES["image_folder"](root, image_size, channels, **more)


def refuse(*_: Any) -> None:
    raise AssertionError("decoded again")


def whole(images: ImageSet) -> torch.Tensor:
    return torch.cat([images.train.images[:], images.test.images[:]])


def cached(root: Path) -> list[str]:
    return sorted(file.name for file in (root / ".dae_cache").iterdir())


@pytest.mark.parametrize(("size", "channels", "mode"), [(16, 1, "L"), (12, 3, "RGB")])
def test_many_images_keep_their_order(root, monkeypatch, size, channels, mode):
    monkeypatch.setattr(decoding, "PIECE", 3)
    listing = list_images(root)
    how = Decoding(size, channels, fit="stretch")
    images, marks = read_images(listing, root, how, in_memory=True)
    assert not marks.any()
    assert listing.classes == ("a", "b")
    assert listing.labels == [0] * 100 + [1] * 100
    assert listing.files == sorted(listing.files)
    for image, file in zip(images[:], listing.files, strict=True):
        picture = Image.open(root / file).convert(mode).resize((size, size), Image.Resampling.BILINEAR)
        assert np.array_equal(image.movedim(0, -1).squeeze(), np.asarray(picture))


def test_the_second_start_decodes_nothing(root, monkeypatch, caplog):
    with caplog.at_level("INFO"):
        first = read_folder(root)
    assert "Decoded 200 images in " in caplog.text
    assert ".dae_cache/all_16_1_pad_white_" in caplog.text
    monkeypatch.setattr(decoding, "_decode", refuse)
    second = read_folder(root)
    assert second.classes == ("a", "b")
    assert second.checksum == first.checksum
    assert torch.equal(whole(first), whole(second))


def test_a_changed_folder_is_decoded_again_and_its_old_cache_deleted(root, monkeypatch):
    read_folder(root, image_size=12)
    other = cached(root)
    last = None
    image = root / "a" / "000.png"

    def blacken() -> None:
        Image.new("L", (20, 24)).save(image)

    def lengthen() -> None:
        """At the same time by the clock of the files."""
        image.write_bytes(image.read_bytes() + b"more")
        os.utime(image, ns=(0, 5))

    for change in (
        lambda: None,
        blacken,
        lambda: os.utime(image, ns=(0, 5)),
        lengthen,
        lambda: image.rename(root / "a" / "0000.png"),  # still the first
        lambda: (root / "a" / "0000.png").rename(root / "a" / "x.png"),
        lambda: monkeypatch.setattr("dae.data.image_folder.Decoding", partial(Decoding, conversion=4)),  # type: ignore[arg-type]
    ):
        change()
        read_folder(root)
        (new,) = set(cached(root)) - set(other)
        assert new != last
        last = new
    assert set(other) < set(cached(root)), "that of another size is still right"
    listing = list_images(root)
    images, _ = read_images(listing, root, Decoding(16, 1), in_memory=True)
    assert images[:][listing.files.index("a/x.png"), 0, 8, 2:14].max() == 0


def test_train_and_test_have_a_cache_each(root, tmp_path):
    both = tmp_path / "both"
    both.mkdir()
    root.rename(both / "train")
    for name in "ab":
        (both / "test" / name).mkdir(parents=True)
        Image.new("L", (8, 8), 77).save(both / "test" / name / "0.png")
    for _ in range(2):
        images = read_folder(both)
        assert (len(images.train.labels), len(images.test.labels)) == (200, 2)
        assert images.test.images[:].unique().tolist() == [77]
    assert [name.split("_")[0] for name in cached(both)] == ["test", "train"]


@pytest.mark.parametrize("cut", [1, 300, 100_000])
def test_a_cut_cache_is_not_taken_for_whole(root, cut, caplog):
    first = read_folder(root)
    (path,) = (root / ".dae_cache").iterdir()
    content = path.read_bytes()
    path.write_bytes(content[: max(0, len(content) - cut)])
    assert read_folder(root).checksum == first.checksum
    assert "is of no use and is built anew" in caplog.text
    assert path.read_bytes() == content


def test_no_cache_can_be_written(root, caplog):
    reference = read_folder(root, image_size=12)
    for file in (root / ".dae_cache").iterdir():
        file.unlink()
    (root / ".dae_cache").rmdir()
    (root / ".dae_cache").touch()  # even root cannot make a folder of it
    assert read_folder(root, image_size=12).checksum == reference.checksum
    assert "decoded anew in each run: no cache can be written" in caplog.text
    with pytest.raises(
        UserError, match=r"in_memory=false reads .* cannot be written: .*data\.in_memory=true"
    ):
        read_folder(root, in_memory=False)


def test_a_bar_where_somebody_watches(root, capsys, monkeypatch):
    read_folder(root, image_size=12)
    assert "Decoding images" not in capsys.readouterr().out

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout", terminal)
    read_folder(root)
    assert "Decoding images" in terminal.getvalue()
    assert "100%" in terminal.getvalue()


def module(root: Path, in_memory: bool, **changes: Any) -> ImageDataModule:
    arguments: dict[str, Any] = {
        "source": "image_folder",
        "root": root,
        "batch_size": 16,
        "validation": 0.2,
        "split_seed": 0,
        "image_size": 16,
        "channels": 1,
        "in_memory": in_memory,
    }
    data = ImageDataModule(**{**arguments, **changes})
    data.setup()
    return data


def test_the_same_batches_from_memory_and_from_the_file(root):
    memory, file = (module(root, in_memory, limit=100, labels=20) for in_memory in (True, False))
    assert isinstance(file.train.images, StoredImages)
    assert isinstance(file.labelled().train.images, StoredImages)
    assert memory.checksum() == file.checksum()
    assert str(memory) == str(file)
    for one, other in ((memory, file), (memory.labelled(), file.labelled())):
        for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
            drawn = []
            for data in (one, other):
                torch.manual_seed(3)
                drawn.append([*getattr(data, loader)()])
            for (images, labels), (same_images, same_labels) in zip(*drawn, strict=True):
                assert torch.equal(images, same_images)
                assert torch.equal(labels, same_labels)


def test_the_same_run_from_memory_and_from_the_file(root, train: Train):
    quick = ("data=image_folder", f"data.root={root}", "dae.epochs=1", "classifier.epochs=1", *QUIET)
    memory, file = (
        train(
            *quick, "data.least_steps=10", f"data.in_memory={word}", "trainer.precision=32-true", place=word
        )
        for word in ("true", "false")
    )
    assert memory.exit_code == file.exit_code == 0
    assert "computed anew for each batch: data.in_memory=false" in file.out
    for stage in ("dae", "classifier"):
        one, other = (read(done.folder / stage / "best.ckpt").tensors for done in (memory, file))
        assert content_hash(one) == content_hash(other)
    assert memory.result["metrics"] == file.result["metrics"]
    one, other = (json.loads((done.folder / "run.json").read_text()) for done in (memory, file))
    assert one["data_checksum"] == other["data_checksum"]


EPOCHS = """
import sys
from functools import partial
from pathlib import Path
import numpy as np
from dae.data import decoding, folder, image_folder, sources
from dae.data.headers import Header, Headers
from dae.data.images import ImageDataModule

decoding._decode = lambda _, files, *__: np.full((len(files), 1, 28, 28), 7, np.uint8)
image_folder.read_headers = lambda _: Headers([Header((28, 28), True, False)], 1)
for count in (10_000, 100_000):
    files = [f"{number % 10}/image_{number}.png" for number in range(count)]
    labels = [number % 10 for number in range(count)]
    listing = folder.Listing(Path(sys.argv[1]), files, labels, tuple("0123456789"), str(count))
    sources.list_images = image_folder.list_images = lambda _: listing
    data = ImageDataModule("image_folder", Path(sys.argv[1]), 128, 5000, 0, 28, 1, in_memory=False)
    data.setup()
    data.checksum()
    loaders = data.train_dataloader(), data.val_dataloader()
    assert sum(len(images) for loader in loaders for images, _ in loader) == count * 4 // 5
    # Not ru_maxrss: that begins with what the parent process had.
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    print(int(status["VmHWM"].split()[0]) * 1024)
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    """Written, hashed and read for an epoch; 90,000 more of 784 bytes are 71 MB."""
    command = [sys.executable, "-c", EPOCHS, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    few, many = map(int, done.stdout.split())
    assert many - few < 50e6


def test_stored_images_are_read_row_by_row(tmp_path):
    images = torch.arange(50 * 4, dtype=torch.uint8).reshape(50, 1, 2, 2)
    np.save(tmp_path / "x.npy", images.numpy())
    stored = StoredImages(tmp_path / "x.npy")
    assert stored.shape == (50, 1, 2, 2)
    order = torch.randperm(50)
    assert torch.equal(stored[order], images[order])
    part = Split(stored, torch.arange(50)).chosen(order[:20]).chosen(torch.tensor([3, 1, 19]))
    assert torch.equal(part.images[:], images[order[[3, 1, 19]]])
    assert part.labels.tolist() == order[[3, 1, 19]].tolist()
    assert torch.equal(torch.cat([*stored.split(16)]), images)
    (tmp_path / "x.npy").unlink()
    assert torch.equal(stored[3:5], images[3:5]), "another process may delete what it holds for stale"


def test_a_file_that_is_cut_under_its_reader(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((50, 1, 2, 2), np.uint8))
    stored = StoredImages(tmp_path / "x.npy")
    os.truncate(tmp_path / "x.npy", 300)
    with pytest.raises(UserError, match=r"x\.npy was changed while it was read"):
        stored[:]
