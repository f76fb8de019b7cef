"""Signs that little was learned: their names and words; what finds them is ``training/signs.py``."""

from __future__ import annotations

from dataclasses import dataclass

WORDS = {
    "input_ignored": "the reconstruction hardly depends on the input",
    "mean_image": "the reconstruction is no better than the mean training image",
    "worse_than_input": "the reconstruction is worse than the noisy input",
    "one_class": "one class is said for nearly all images",
    "majority_class": "it is no better than always to say the most frequent class",
    "few_steps": "few optimizer steps",
    "still_improving": "it was still improving at the end",
}


@dataclass(frozen=True)
class Sign:
    """A sign that a stage has learned little.

    Attributes:
        stage: ``dae`` or ``classifier``.
        name: Of ``WORDS``.
        text: What is wrong, its figure and limit, what most likely helps.
        value: The figure.
        limit: What the figure is held against.
    """

    stage: str
    name: str
    text: str
    value: float
    limit: float


def sign_words(sign: str) -> str:
    """``dae/few_steps`` in words: ``dae: few optimizer steps``."""
    stage, name = sign.split("/")
    return f"{stage}: {WORDS.get(name, name)}"
