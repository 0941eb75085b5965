"""Tables of read models that are made from one captured table alone, and what their rows must be. Pure.

Such a table is known from the source as it is now: its handlers make the row of each source row, as if a snapshot had just sent it. A
table that is also made from events, or from several captured tables, or that gets a row for every change, depends on more than that,
and nobody could say from the source what it should hold. Nor does the source tell of versions, which are rows under the times of changes.
Columns that hold such a time, or that a join fills from versions, are left out, and the others of the row compared.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from cdc.capture import CapturedTable
from cdc.change import UNCHANGED, Change, Origin
from cdc.connect.config import name_topic
from cdc.reading import UNREAD
from eventstore.settings import KafkaSettings
from projections.declaration.projection import Handler, Projection
from projections.declaration.table import Table
from projections.fold.route import Route
from projections.fold.sheet import Sheet

_ELSEWHERE = Origin({"db": "", "lsn": 7, "txId": 7, "ts_us": 86_400_000_000, "ts_ms": 86_400_000, "snapshot": "true"})
"""Where no change of a comparison comes from."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """*table* of *projection*, made by *handlers* from changes of *source* and nothing else."""

    projection: Projection
    table: Table[Any]
    source: CapturedTable
    handlers: tuple[Handler, ...]

    @property
    def joined(self) -> dict[str, str]:
        """The columns that joins fill, each with the table of versions from which."""
        return {name: each.past.name for each in self.projection.joins if each.table is self.table for name in each.sets}

    @property
    def is_keyed(self) -> bool:
        """Whether each source row makes a row of its own, under its primary key."""
        return all(each.key is None for each in self.handlers)

    def __str__(self) -> str:
        return f"{self.source.table} -> {self.projection.name}.{self.table.name}"


def find_mirrors(
    projections: Iterable[Projection], prefix: str, tables: Sequence[str], kafka: KafkaSettings
) -> tuple[list[Mirror], list[str]]:
    """Find what is made from *tables* of the connector with this topic *prefix*; and why others of its read models can't be compared."""
    topics = {name_topic(prefix, each) for each in tables}
    found: list[Mirror] = []
    reasons: list[str] = []
    for projection in projections:
        for table in projection.tables:
            mine = tuple(each for each in projection.handlers if each.table is table)
            captured = [each for each in mine if isinstance(each.source, CapturedTable) and each.source.topic(kafka) in topics]
            if not captured:
                continue
            is_past = any(each.past is table for each in projection.joins)
            obstacle = "holds what rows were at times past" if is_past else find_obstacle(mine, captured)
            if obstacle is None:
                source = captured[0].source
                assert isinstance(source, CapturedTable)
                found.append(Mirror(projection, table, source, mine))
            else:
                reasons.append(f"{projection.name}.{table.name} {obstacle}")
    return found, reasons


def find_obstacle(mine: Sequence[Handler], captured: Sequence[Handler]) -> str | None:
    """Say why the source alone does not tell what a table with the handlers *mine* holds; None = it does."""
    if len({each.source.name for each in mine}) > 1:
        others = sorted({each.source.name for each in mine} - {captured[0].source.name})
        return f"is made from {', '.join(others)} too"
    return "gets a row for every change" if any(each.adds for each in mine) else None


class Maker:
    """Makes the rows of *mirror* from changes, by its own handlers.

    *unread* gathers the columns whose values can't be compared, *dated* those that say when or where in the log a row changed, *failed*
    counts changes that a handler refused.
    """

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        self.unread: set[str] = set()
        self.dated: set[str] = set()
        self.failed = 0
        self._routes = [Route.of(Sheet(each.table, complete=False), each) for each in mirror.handlers]

    def apply(self, change: Change, rows: dict[Any, Any], make: Mapping[Any, Any] | None = None) -> None:
        """Put what *change* makes into *rows* (None = no row); rows that are not there are taken from *make*."""
        for route in self._routes:
            try:
                key = route.key(change, change.key)
                before = rows[key] if key in rows else (make or {}).get(key)
                kept = (
                    dataclasses.replace(before) if before is not None else None
                )  # a handler may change the row that it is given
                made = route.function(change, before, change) if route.detail else route.function(change, before)
                if made is not None:
                    made = self._settle(made, kept)
                    self.mirror.table.check(made, key)
            except Exception:
                self.failed += 1
                continue
            rows[key] = made

    def keys(self, change: Change) -> Iterator[Any]:
        """Give the keys of the rows that *change* reaches."""
        for route in self._routes:
            try:
                yield route.key(change, change.key)
            except Exception:
                self.failed += 1

    def remembers(self, changes: Sequence[Change]) -> bool:
        """Say whether a row depends on more than its newest change, as a count or a trail does; tried with pairs of source rows.

        One source row is given another's values, then its own again: what comes out must be what its own values alone make, or, where a
        handler keeps the newer of two, what was there.
        """
        for one, other in pairwise(changes):
            assert one.after is not None
            assert other.after is not None
            kept = {name: value for name, value in zip(one.key_names, one.key, strict=True) if name in one.after}
            earlier = replace(one, after={**copy.deepcopy(other.after), **kept})
            alone, before, after = dict[Any, Any](), dict[Any, Any](), dict[Any, Any]()
            self.apply(copy.deepcopy(one), alone)
            self.apply(copy.deepcopy(earlier), before)
            self.apply(copy.deepcopy(earlier), after)
            self.apply(replace(copy.deepcopy(one), op="u"), after)
            if after not in (alone, before):
                return True
        return False

    def is_dated(self, change: Change) -> bool:
        """Say whether the rows of *change* are kept under its time or place; notes the columns that hold one.

        Tried with the same row, told by a change of another time.
        """
        probe, here, there = Maker(self.mirror), dict[Any, Any](), dict[Any, Any]()
        probe.apply(copy.deepcopy(change), here)
        probe.apply(replace(copy.deepcopy(change), source=_ELSEWHERE, order=(7, 7)), there)
        if here.keys() != there.keys():
            return True
        for key, row in here.items():
            if row is not None and there[key] is not None:
                self.dated |= {each for each in self.mirror.table.columns if getattr(row, each) != getattr(there[key], each)}
        return False

    def _settle(self, row: Any, before: Any) -> Any:
        """Keep what a change did not send, and leave out what can't be compared."""
        changed: dict[str, Any] = {}
        for name in self.mirror.table.columns:
            value = getattr(row, name)
            if value is UNCHANGED:
                changed[name] = None if before is None else getattr(before, name)
            elif isinstance(value, str) and UNREAD in value:
                self.unread.add(name)
                changed[name] = None
        return dataclasses.replace(row, **changed) if changed else row
