from __future__ import annotations

import gc
import warnings

import torch
from matplotlib._pylab_helpers import Gcf
from matplotlib.figure import Figure

from dae.pictures.figures import draw_image_rows, draw_text, pad_with_white
from dae.pictures.style import class_colours, short_names


def middle(picture: torch.Tensor, row: int, rows: int) -> list[int]:
    """The colour right of the centre, where the names are not, of one of the rows."""
    return picture[:, picture.shape[1] * (2 * row + 1) // (2 * rows), picture.shape[2] * 3 // 4].tolist()


def test_each_row_is_drawn():
    rows = {name: torch.full((3, 1, 8, 8), level) for name, level in (("black", 0.0), ("white", 1.0))}
    picture = draw_image_rows(rows)
    assert middle(picture, 0, 2) == [0, 0, 0]
    assert middle(picture, 1, 2) == [255, 255, 255]


def test_colour():
    red = torch.zeros(2, 3, 8, 8)
    red[:, 0] = 1
    assert middle(draw_image_rows({"red": red}), 0, 1) == [255, 0, 0]


def test_captions_and_title_have_their_own_place():
    rows = {"a": torch.zeros(2, 1, 8, 8), "b": torch.zeros(2, 1, 8, 8)}
    plain, told = draw_image_rows(rows), draw_image_rows(rows, {"b": ["one\nline", "two\nlines"]}, "All")
    assert told.shape[1] > plain.shape[1]
    assert told.shape[2] == plain.shape[2]
    black = [(picture.sum(0) == 0).sum() for picture in (plain, told)]
    assert abs(int(black[0]) - int(black[1])) < 0.02 * int(black[0]), "nothing is covered"


def test_what_is_not_finite_is_drawn_and_named():
    images = torch.full((2, 1, 8, 8), float("nan"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = draw_image_rows({"lost": images})
    assert middle(picture, 0, 1) == [128, 128, 128]
    assert not torch.equal(picture, draw_image_rows({"lost": torch.full_like(images, 0.5)})), (
        "the name says so"
    )


def test_rows_that_are_too_short_are_filled_up():
    assert pad_with_white(torch.zeros(2, 1, 4, 4), 3)[2].min() == 1
    assert len(pad_with_white(torch.zeros(5, 1, 4, 4), 3)) == 5


def test_ten_classes_have_ten_colours():
    assert len(set(class_colours(10))) == 10
    assert len(class_colours(23)) == 23


def test_names_fit():
    assert short_names(("0 - zero", "1 - one")) == ["0", "1"]
    assert short_names(("a - b", "a - c")) == ["a - b", "a - c"]
    assert short_names(("T-shirt/top", "a very long name")) == ["T-shirt/top", "a very lo..."]


def test_no_figure_stays_in_memory():
    def figures() -> int:
        gc.collect()
        return sum(type(thing) is Figure for thing in gc.get_objects())

    before = figures()
    for _ in range(3):
        draw_image_rows({"a": torch.zeros(2, 1, 8, 8)})
        draw_text("nothing")
    assert figures() == before
    assert not Gcf.figs, "pyplot keeps what it makes"
