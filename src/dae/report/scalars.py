"""The logged scalars of a stage, read from its TensorBoard event files or ``metrics.csv``."""

from __future__ import annotations

import csv
import math
import struct
from collections.abc import Iterator
from pathlib import Path

from dae.files import DamagedFileError

Points = list[tuple[float, float]]
Series = dict[str, Points]
# Tag, x, y.
Scalar = tuple[str, float, float]

# Bytes. A scalar takes about a hundred; pictures, histograms and embeddings are skipped unread.
LARGEST_SCALAR = 4096


def read_series(folder: Path) -> Series:
    """The points of each scalar that a stage has logged, by their x (epochs, or images seen), ascending.

    Read from TensorBoard's files, else from ``metrics.csv``. What is no figure is left out; of two values at
    one x the later counts: a resumed run may have logged an epoch twice.

    Raises:
        DamagedFileError: A file is none of these.
    """
    found: dict[str, dict[float, float]] = {}
    events = sorted(folder.glob("events.out.tfevents.*"))  # named after the time
    for file in events or folder.glob("metrics.csv"):
        try:
            for tag, x, y in _from_events(file) if events else _from_csv(file):
                if math.isfinite(x) and math.isfinite(y):
                    found.setdefault(tag, {})[x] = y
        except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
            raise DamagedFileError(file, " ".join(str(error).split()) or type(error).__name__) from error
    return {tag: sorted(points.items()) for tag, points in found.items()}


def _from_events(file: Path) -> Iterator[Scalar]:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorboard.compat.proto.event_pb2 import Event

    for record in _records(file):
        try:
            event = Event.FromString(record)
        except DecodeError as error:
            raise ValueError("a record is damaged") from error
        for value in event.summary.value:
            if value.HasField("simple_value"):
                yield value.tag, float(event.step), value.simple_value


def _records(file: Path) -> Iterator[bytes]:
    """The small records of a TFRecord file: length (8 bytes), its CRC (4), the record, its CRC (4).

    TensorBoard's own reader checks each CRC in Python, which takes seconds for a few pictures. A file that is
    being written may end with an incomplete record.
    """
    with file.open("rb") as stream:
        while len(head := stream.read(12)) == 12:
            (length,) = struct.unpack("<Q", head[:8])
            if length > LARGEST_SCALAR:
                stream.seek(length + 4, 1)
                continue
            record = stream.read(length)
            if len(stream.read(4)) == 4:
                yield record


def _from_csv(file: Path) -> Iterator[Scalar]:
    with file.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            for tag, value in row.items():
                if value and tag not in ("step", "epoch"):
                    yield tag, float(row["step"]), float(value)
