from __future__ import annotations

import torch

from dae.pictures.drawing import draw_image_rows
from dae.pictures.style import short_names


def has(picture: torch.Tensor, *colour: int) -> bool:
    """Whether a tenth of the picture has a colour."""
    return bool((picture == torch.tensor(colour)[:, None, None]).all(0).float().mean() > 0.1)


def test_each_row_is_drawn_in_its_colours():
    red = torch.zeros(3, 3, 8, 8)
    red[:, 0] = 1
    picture = draw_image_rows({"black": torch.zeros(3, 3, 8, 8), "red": red}, "a $title$")
    assert has(picture, 0, 0, 0)
    assert has(picture, 255, 0, 0)


def test_names_fit_and_no_two_become_the_same():
    assert short_names(("0 - zero", "1 - one")) == ["0", "1"]
    assert short_names(("a - b", "a - c")) == ["a - b", "a - c"]
    assert short_names(("T-shirt/top", "a very long name")) == ["T-shirt/top", "a very lo..."]
    assert len({*short_names(("american_bulldog", "american_pit_bull", "cat"))}) == 3
