from __future__ import annotations

import io
from pathlib import Path

import pytest

from dae.errors import ConfigError
from dae.use.inputs import find_images


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("one.png", "in/a.png", "in/deep/b.JPG", "in/text.txt", "empty/text.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["one.png"], {"one.png": "one.png"}),
        (["in"], {"in/a.png": "a.png", "in/deep/b.JPG": "deep/b.JPG"}),
        (["in/*"], {"in/a.png": "a.png"}),
        (["in/**/*"], {"in/a.png": "a.png", "in/deep/b.JPG": "b.JPG"}),
        (["in/a.png", "in", "./in/a.png"], {"in/a.png": "a.png", "in/deep/b.JPG": "deep/b.JPG"}),
        (["in/text.txt"], {"in/text.txt": "text.txt"}),
    ],
)
def test_files_folders_and_patterns(here, words, found):
    assert {str(each.path): str(each.place) for each in find_images(words)} == found


def test_a_list_on_standard_input(here, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("one.png\n\nin\n"))
    assert [str(each.path) for each in find_images(["-"])] == ["one.png", "in/a.png", "in/deep/b.JPG"]
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(ConfigError, match="standard input named no image"):
        find_images(["-"])


def test_all_that_is_wrong_is_told_at_once(here):
    with pytest.raises(ConfigError) as told:
        find_images(["one.png", "empty", "there.png", "no*"])
    assert [problem.where for problem in told.value.problems] == ["empty", "there.png", "no*"]
    assert "a folder without an image" in str(told.value)
    assert "no such file or folder" in str(told.value)
