"""A folder of images: its splits, classes and files."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from mimetypes import guess_type
from pathlib import Path

from dae.data.walk import Walk, is_folder, subfolders
from dae.errors import UserError
from dae.words import counted, first_few, printable, quoted_override

# Torchvision's list, and GIF.
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")
# The label of an image without a class.
UNLABELLED = -1
# The names of the folders that divide the images, in any case: train, Training, test_set, validation-images.
SPLITS = {
    split: re.compile(rf"({words})([ _-]?(set|data|images))?", re.IGNORECASE)
    for split, words in (
        ("train", "train|training"),
        ("val", "val|valid|validation"),
        ("test", "test|testing"),
    )
}


@dataclass(frozen=True)
class Listing:
    """The images below a folder: their paths from there and their labels, class by class, each sorted.

    Without classes all labels are ``UNLABELLED``.

    Attributes:
        state: A hash of the paths, sizes and times of change of all files.
        unused: A line on each kind of thing that was found and is left out.
    """

    folder: Path
    files: list[str]
    labels: list[int]
    classes: tuple[str, ...]
    state: str
    unused: tuple[str, ...] = ()


def split_folders(root: Path, unlabelled: Path | None = None) -> dict[str, Path]:
    """The folders of ``train``, ``val`` and ``test`` that divide ``root``; ``train`` is ``root`` if none do.

    ``train`` divides it together with one of the others, or alone if it holds images without classes.

    Args:
        root: Folder of the data.
        unlabelled: A folder that may lie beside the splits.

    Raises:
        UserError: There is no such folder, or it is not clear how it is divided.
    """
    if not is_folder(root):
        raise UserError(
            f"data.root={root} is not a folder. data=image_folder reads <root>/train/<class>/*.png and "
            "<root>/test/<class>/*.png, or <root>/<class>/*.png"
        )
    there = subfolders(root)
    named = [(split, name) for name in there if (split := _split_named(name))]
    if not named:
        _refuse_hidden_splits(root, there)
        return {"train": root}
    folders = {split: root / name for split, name in named}
    words = " and ".join(f"{name}/" for _, name in named)
    if len(folders) < len(named):
        raise UserError(f"{root}: two of {words} mean the same split; expected one folder for each")
    others = [root / name for name in there if not _split_named(name)]
    known = [unlabelled.resolve()] if unlabelled is not None else []
    if beside := [each.name for each in others if each.resolve() not in known and Walk(each, is_image).files]:
        further = quoted_override("data.unlabelled", root / beside[0])
        renamed = "; ".join(shlex.join(["mv", f"{root / name}", f"{root / name}s"]) for _, name in named)
        raise UserError(
            f"{root}: found {words}, which would divide the images, beside {first_few(beside)}, which would "
            f"be classes. Move out what is not meant, or let it join stage 1 without labels: {further}. "
            f"If all of them are classes, rename what is called like a split: {renamed}"
        )
    if len({os.path.realpath(folder) for folder in folders.values()}) < len(folders):
        raise UserError(f"{root}: two of {words} are one and the same folder; expected one for each split")
    alone = next(iter(folders.values())) if len(folders) == 1 else None
    if "train" not in folders or (alone and subfolders(alone)):
        way = f"put the images to train on into {root / 'train'}/<class>"
        if alone:
            whole = quoted_override("data.root", alone)
            way = f"to have a fixed fifth of {alone.name}/ for the test: {whole}"
        raise UserError(
            f"{root}: found {words} alone; expected train/ and test/, and val/ if you like; {way}"
        )
    return folders


def is_without_classes(root: Path, unlabelled: Path | None = None) -> bool:
    """Whether there are images to train on but no class folders; False where that cannot be told."""
    try:
        train = split_folders(root, unlabelled)["train"]
        return not subfolders(train) and any(map(is_image, os.listdir(train)))  # noqa: PTH208 - names will do
    except (UserError, OSError):
        return False  # whoever reads the images says why


def list_images(folder: Path) -> Listing:
    """Look at ``folder/<class>/**``, or at images that lie in the folder itself if it holds no folder.

    In the order of torchvision's ImageFolder. What is hidden, a file or a folder, is left out, and each file
    counts once.

    Raises:
        UserError: There is no image, a class without one, or a folder that cannot be read.
    """
    walk = Walk(folder, is_image)
    if not walk.folders:
        return _without_classes(folder, walk)
    _refuse_splits_below(folder, walk)
    loose = sum(os.sep not in path for path, _ in walk.files)
    files = [(_class_of(path), path, state) for path, state in walk.files if os.sep in path]
    files.sort(key=lambda file: (file[0], os.path.split(file[1])))
    label_of = {name: label for label, name in enumerate(walk.folders)}
    found = {name for name, _, _ in files}
    for name in walk.folders:
        if printable(name) != name:
            raise UserError(
                f"{folder}: the name of class {printable(name)} cannot be shown; rename its folder"
            )
        if name not in found:
            mine = [path for path in walk.twice if _class_of(path) == name]
            why = (
                f"; what lies there is left out, since it counts elsewhere: {first_few(mine)}" if mine else ""
            )
            raise UserError(f"{folder / name}: found no image, expected files *{', *'.join(SUFFIXES)}{why}")
    unused = _unused(walk)
    if loose:
        what = f"{counted(loose, 'image')} in {folder} itself: not used, since there are class folders"
        unused = (what, *unused)
    return Listing(
        folder,
        [path for _, path, _ in files],
        [label_of[name] for name, _, _ in files],
        tuple(walk.folders),
        _state((path, state) for _, path, state in files),
        unused,
    )


def list_unlabelled(folder: Path) -> Listing:
    """Look at all images below a folder, whatever the folders between.

    Raises:
        UserError: There is no such folder, no image in it, or a folder that cannot be read.
    """
    if not is_folder(folder):
        raise UserError(f"data.unlabelled={folder} is not a folder; expected one that holds images")
    return _without_classes(folder, Walk(folder, is_image))


def loose_images(root: Path) -> list[str]:
    """A line, if images lie beside the splits of ``root``."""
    loose = [name for name in sorted(os.listdir(root)) if is_image(name) and (root / name).is_file()]  # noqa: PTH208
    what = "not used, since folders beside them divide the images"
    return [f"{counted(len(loose), 'image')} in {root} itself: {what}"] if loose else []


def is_image(name: str) -> bool:
    """Whether a file of this name is read as an image."""
    return name.lower().endswith(SUFFIXES) and name[0] != "."


def _without_classes(folder: Path, walk: Walk) -> Listing:
    files = sorted(walk.files, key=lambda file: os.path.split(file[0]))
    if not files:
        raise UserError(
            f"{folder}: found no class folder and no image, expected {folder}/<class>/*.png, or for stage 1 "
            f"alone {folder}/*.png"
        )
    labels = [UNLABELLED] * len(files)
    return Listing(folder, [path for path, _ in files], labels, (), _state(files), _unused(walk))


def _split_named(name: str) -> str | None:
    return next((split for split, words in SPLITS.items() if words.fullmatch(name)), None)


def _refuse_hidden_splits(root: Path, names: list[str]) -> None:
    """Refuse ``seg_train`` and ``seg_test``, ``train_1`` and ``test_1``: as classes they would be mixed."""
    alike: dict[tuple[str, ...], dict[str, str]] = {}
    for name in names:
        words = re.findall(r"[^\W\d_]+", name)
        for place, word in enumerate(words):
            if split := _split_named(word):
                rest = (*words[:place], "*", *words[place + 1 :])
                alike.setdefault(rest, {})[split] = name
    for found in alike.values():
        if len(found) > 1:
            ways = (shlex.join(["mv", f"{root / name}", f"{root / split}"]) for split, name in found.items())
            named = " and ".join(f"{name}/" for name in found.values())
            raise UserError(
                f"{root}: {named} seem to divide the images, and would be read as classes. Rename them: "
                f"{'; '.join(ways)}. If they are classes, rename them so that none is called like a split"
            )


def _class_of(path: str) -> str:
    return path.partition(os.sep)[0]


def _refuse_splits_below(folder: Path, walk: Walk) -> None:
    """Refuse ``<class>/train`` and ``<class>/test``: as images of one class they would be mixed."""
    below: dict[str, set[str]] = {}
    for path, _ in walk.files:
        name, *inner = Path(path).parts
        if len(inner) > 1 and (split := _split_named(inner[0])):
            below.setdefault(name, set()).add(split)
    for name, splits in below.items():
        if len(splits) > 1:
            way = f"expected {folder}/train/<class> and {folder}/test/<class>"
            if len(walk.folders) == 1:
                way = f"they are read with {quoted_override('data.root', folder / name)}"
            words = " and ".join(f"{split}/" for split in sorted(splits, reverse=True))
            raise UserError(f"{folder / name}: found {words} below what would be a class; {way}")


def _unused(walk: Walk) -> tuple[str, ...]:
    other = [path for path in walk.others if str(guess_type(path)[0]).startswith("image/")]
    kinds = {
        "image": (other, f"not read, expected names like *{', *'.join(SUFFIXES)}"),
        "link": (walk.nowhere, "leading to nothing"),
        "path": (walk.twice, "left out, leading to what counts elsewhere already"),
    }
    return tuple(
        f"{counted(len(paths), kind)} in {walk.folder}: {what}: {first_few(paths)}"
        for kind, (paths, what) in kinds.items()
        if paths
    )


def _state(files: Iterable[tuple[str, os.stat_result]]) -> str:
    digest = hashlib.sha256()
    for file, state in files:
        digest.update(os.fsencode(file) + f"\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return digest.hexdigest()
