"""What the headers of images suggest."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from dae.data import headers
from dae.data.decoding import Decoding
from dae.data.folder import list_images
from dae.data.headers import Header, Headers, read_headers
from dae.errors import UserError
from helpers import draw_images


def of_sizes(*sizes: tuple[int, int]) -> Headers:
    return Headers([Header(size, grey=False, transparent=False) for size in sizes], len(sizes))


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(48, 48)], 48),
        ([(28, 28)], 32),
        ([(1000, 700)], 64),
        ([(64, 48)] * 3, 56),  # as many pixels as 55.4 x 55.4
        ([(32, 32), (40, 40), (4000, 4000)], 40),
        ([(41, 41)], 40),
        ([(43, 43)], 44),
    ],
)
def test_the_median_side_as_a_multiple_of_4_from_32_to_64(sizes, expected):
    assert of_sizes(*sizes).image_size == expected


@pytest.mark.parametrize(
    ("modes", "channels"),
    [
        (["L"], 1),
        (["RGB"], 3),
        (["RGBA", "L", "L"], 1),
        (["RGB", "P", "L"], 3),
        (["1", "LA", "I;16"], 1),
        (["L", "RGB"], 3),
    ],
)
def test_channels_are_those_of_most_images(tmp_path, modes, channels):
    for number, mode in enumerate(modes):
        Image.new(mode, (8, 8)).save(tmp_path / f"{number}.png")
    assert read_headers(list_images(tmp_path)).channels == channels


def test_at_most_a_thousand_files_are_opened_and_once(tmp_path, monkeypatch):
    opened: list[Path] = []
    read = headers._header

    def counting(path: Path) -> Header | None:
        opened.append(path)
        return read(path)

    monkeypatch.setattr(headers, "MOST", 5)
    monkeypatch.setattr(headers, "_header", counting)
    folder = draw_images(tmp_path / "images", 20)
    first = read_headers(list_images(folder))
    assert [int(path.stem) for path in opened] == [0, 4, 8, 12, 16], "evenly spread, the same each time"
    assert read_headers(list_images(folder)) == first
    assert len(opened) == 5
    draw_images(folder, 1, size=(9, 9))
    read_headers(list_images(folder))
    assert len(opened) == 10, "the folder is another one now"
    assert "5 of 20 files" in next(first.notes(Decoding(32, 3)))


def test_files_that_are_no_image_are_passed_over(tmp_path):
    folder = draw_images(tmp_path / "images", 2)
    (folder / "0.png").write_bytes(b"not a picture")
    assert len(read_headers(list_images(folder)).found) == 2
    for file in folder.iterdir():
        file.write_bytes(b"nor this")
    with pytest.raises(UserError, match="looked at 3 files, none can be read as an image"):
        read_headers(list_images(folder))


def test_what_becomes_of_them_in_words():
    found = [
        Header((64, 64), grey=False, transparent=False),
        Header((64, 48), grey=True, transparent=False),
        Header((20, 30), grey=False, transparent=True),
    ]
    assert [*Headers(found, 3).notes(Decoding(64, 3))] == [
        "width x height of 3 images: smallest 20 x 30, median 64 x 48, largest 64 x 64",
        "of these 2 resized to 64 x 64, 2 not square and padded with white, 1 turned to colour, "
        "1 transparent and laid on white",
    ]
    assert [*Headers(found[:1], 1).notes(Decoding(64, 1, fit="crop"))][1] == "of these 1 turned to grey"
    assert [*Headers(found[:1], 1).notes(Decoding(64, 3))][1] == "of these all are used as they are"
