"""The files that a command is asked to write: all of them whole, or none, and nothing is lost for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

from dae.errors import ConfigError, Problem, UserError, raise_problems
from dae.files import atomic_path
from dae.text import closest_name, quoted_path


@contextmanager
def output_files(paths: Sequence[Path], overwrite: bool) -> Iterator[list[Path]]:
    """Paths to write to; they take their places when the block ends without an error.

    Args:
        paths: Where the files are to lie, all of them in one folder.
        overwrite: Whether one that is there is replaced.

    Raises:
        ConfigError: There is something already, or no folder to write to.
        UserError: They cannot be written; told before the block begins, as far as that can be known.
    """
    raise_problems(_problems(paths, overwrite))
    try:
        with ExitStack() as stack:
            temporaries = [stack.enter_context(atomic_path(path)) for path in paths]
            for temporary in temporaries:
                temporary.touch()
            yield temporaries
    except OSError as error:
        raise UserError(f"{paths[0]} cannot be written: {error.strerror or error}") from error


def _problems(paths: Sequence[Path], overwrite: bool) -> Iterator[Problem]:
    folder = paths[0].parent
    if not folder.is_dir():
        yield Problem(f"--out {paths[0]}", f"there is no folder {folder}", f"mkdir -p {quoted_path(folder)}")
    for path in paths:
        if path.is_dir():
            yield Problem(str(path), "is a folder, expected a file", "another name: --out FILE")
        elif path.exists() and not overwrite:
            yield Problem(str(path), "is there already", "--overwrite replaces it")


def require_suffix(path: Path, suffixes: Sequence[str]) -> str:
    """The ending of a path, which is one of these.

    Raises:
        ConfigError: It is another; with the nearest name.
    """
    if path.suffix.lower() in suffixes:
        return path.suffix.lower()
    near = closest_name(path.suffix, suffixes) or suffixes[0]
    what = f"ends in {path.suffix or 'no suffix'}, expected {' or '.join(suffixes)}"
    named = path.with_suffix(near) if path.name else Path(f"out{near}")
    raise ConfigError([Problem(f"--out {path}", what, f"--out {quoted_path(named)}")])


def require_packages(wanted_by: str, packages: Sequence[str], extra: str) -> None:
    """Make sure that packages are installed which few need.

    Args:
        wanted_by: The argument that needs them.
        packages: Their names, by which they are imported.
        extra: Of ours, which brings them along.

    Raises:
        UserError: One is not; with the command that installs it.
    """
    if missing := [name for name in packages if find_spec(name) is None]:
        what = f"{wanted_by} needs {' and '.join(missing)}, not installed here"
        raise UserError(f"{what}: pip install -e '.[{extra}]'")
