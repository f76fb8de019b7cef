"""Which key a sweep compares, and in which order its values are shown; written when it is first asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, QuotedString
from pydantic import ConfigDict, Field

from dae.files import read_yaml
from dae.runs.records import Record, read_record, write_record
from dae.sweeps.jobs import text_of
from dae.sweeps.table import is_below

FILE = "comparison.json"


class Order(Record):
    """The key that a sweep compares, and the order of the values of all swept keys.

    Attributes:
        key: Its first value is the baseline, its last one the arm that the answer is about; this never
            changes, whatever the sweep is extended by.
        values: Of each swept key, as the command gave them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    key: str
    values: dict[str, list[str]] = Field(default_factory=dict)

    def arms(self, found: Iterable[str]) -> list[str]:
        """The values of the compared key, further ones between the first and the last.

        A value of a node is several words, ``gaussian std 0.3``, one of which the command has given.
        """
        there = sorted({*found}, key=_natural)
        given = self.values.get(self.key)
        if given is None:  # of the first key in the node
            typed = next((v for key, v in self.values.items() if is_below(key, self.key)), [])
            groups = [[arm for arm in there if word in arm.split()] or [word] for word in typed]
            groups[-1:] = [group[::-1] for group in groups[-1:]]  # what joins later comes between
            given = [arm for group in groups for arm in group]
        first, *rest = given or there
        more = [arm for arm in there if arm not in (first, *rest)]
        return [first, *rest[:-1], *more, *rest[-1:]]

    def sorted(self, key: str, found: Iterable[str]) -> list[str]:
        """The values of a key, further ones at the end."""
        given = self.values.get(key, [])
        return [*given, *sorted({*found} - {*given}, key=_natural)]


def read_order(sweep_folder: Path) -> Order | None:
    """What a sweep compares; None if it has not been asked.

    Raises:
        DamagedFileError: The file holds something else.
    """
    content = read_record(sweep_folder / FILE, Order)
    return Order(**content) if content else None


def ask(sweep_folder: Path, key: str, values: Mapping[str, list[str]] | None = None) -> Order:
    """Note that a key is compared; what has been noted of the same key stays.

    Args:
        sweep_folder: Where it is noted.
        key: The key.
        values: The values of the swept keys; None takes those of the sweep's last command.
    """
    order = read_order(sweep_folder)
    if order is None or order.key != key:
        if values is None and order is not None:
            values = order.values  # of all swept keys, when it was asked first
        elif values is None:
            values = swept_values((read_yaml(sweep_folder / "multirun.yaml") or {}).get("hydra") or {})
        order = Order(key=key, values=dict(values))
        sweep_folder.mkdir(parents=True, exist_ok=True)
        write_record(sweep_folder / FILE, order)
    return order


def sweep_overrides(hydra: Mapping[str, Any]) -> dict[str, Override]:
    """The overrides of a sweep by their keys; what is typed takes the place of what the config says."""
    params = [f"{key}={value}" for key, value in ((hydra.get("sweeper") or {}).get("params") or {}).items()]
    typed = (hydra.get("overrides") or {}).get("task") or []
    parsed = OverridesParser.create().parse_overrides([*params, *typed])
    return {override.get_key_element(): override for override in parsed}


def swept_values(hydra: Mapping[str, Any]) -> dict[str, list[str]]:
    """The values of each key that a sweep varies, in their order; none where only Hydra knows them."""
    return {
        key.lstrip("+"): [
            text_of(v.text if isinstance(v, QuotedString) else v) for v in override.sweep_iterator()
        ]
        for key, override in sweep_overrides(hydra).items()
        if override.is_discrete_sweep() and not isinstance(override.value(), Glob)
    }


def _natural(text: str) -> tuple[bool, float, str]:
    """Numbers before words, by their size."""
    try:
        return False, float(text.removesuffix("/class")), text
    except ValueError:
        return True, 0.0, text
