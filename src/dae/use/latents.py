"""Files of latents, one row an image; written row by row, so that any number of images fits into memory."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

# A path and the latent of its image, flattened, in float32.
Row = tuple[str, np.ndarray]
ROWS = 1024  # so many of a parquet file are written together


def write_npy(file: Path, rows: Iterable[Row]) -> None:
    """(images, numbers) in float32, for ``numpy.load``; the paths are not in it."""
    count, width = 0, 0
    with file.open("wb") as opened:
        for _, latent in rows:
            count, width = count + 1, len(latent)
            if count == 1:
                _write_header(opened, 0, width)
            opened.write(latent.astype("<f4").data)
        # NumPy leaves room in it for any number of rows.
        opened.seek(0)
        _write_header(opened, count, width)


def _write_header(opened: object, count: int, width: int) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (count, width)}
    np.lib.format.write_array_header_1_0(opened, header)  # type: ignore[arg-type]


def write_csv(file: Path, rows: Iterable[Row]) -> None:
    """``path``, then ``latent_0``, ``latent_1`` ..., in as many digits as tell them apart."""
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        for number, (path, latent) in enumerate(rows):
            if number == 0:
                writer.writerow(["path", *_names(latent)])
            writer.writerow([path, *map(str, latent)])


def write_parquet(file: Path, rows: Iterable[Row]) -> None:
    """The columns of ``write_csv``, in float32. Needs pyarrow."""
    import pyarrow  # of an extra
    from pyarrow import parquet

    waiting, writer = iter(rows), None
    while some := list(islice(waiting, ROWS)):
        columns = dict(zip(_names(some[0][1]), np.stack([latent for _, latent in some]).T, strict=True))
        table = pyarrow.table({"path": [path for path, _ in some], **columns})
        writer = writer or parquet.ParquetWriter(file, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


def _names(latent: np.ndarray) -> Iterator[str]:
    return (f"latent_{number}" for number in range(len(latent)))


WRITERS = {".npy": write_npy, ".csv": write_csv, ".parquet": write_parquet}
