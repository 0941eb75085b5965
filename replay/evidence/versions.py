"""The versions that decide about joined rows: whose they are, and which of them held. Pure.

A row that is joined under a currency depends on the versions of this currency and on no others; they are its *lineage*. So a row is known
from its own events and from those of its lineages, however large the table of versions is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any, NamedTuple

from projections.declaration.join import Join, Point, as_point
from projections.declaration.projection import Projection
from projections.declaration.table import Table

Lineage = tuple[str, Point]
"""The table of versions, and their key without the time."""


class Held(NamedTuple):
    """What held at a time: *row* of the version under *key*, None = none did; *until* is from when the next one holds, None = for ever."""

    key: Any
    row: Any
    until: datetime | None


def list_joins(projection: Projection, table: Table[Any]) -> list[Join]:
    """Give the joins that complete rows of *table*."""
    return [each for each in projection.joins if each.table is table]


def list_set(projection: Projection, table: Table[Any]) -> list[str]:
    """Give the columns of *table* that joins fill."""
    return [name for each in list_joins(projection, table) for name in each.sets]


def find_lineages(projection: Projection, rows: Iterable[tuple[Table[Any], Any]]) -> set[Lineage]:
    """Give the lineages of *rows*, each with its table; None is no row, and has none."""
    found: set[Lineage] = set()
    for table, row in rows:
        if row is not None:
            points = ((each, each.find_point(row)) for each in list_joins(projection, table))
            found |= {(join.past.name, point[:-1]) for join, point in points if point is not None}
    return found


def name_lineage(table: Table[Any], key: Any) -> Lineage:
    """Give the lineage of the version under *key*."""
    return table.name, as_point(key)[:-1]


def as_key(past: Table[Any], point: Point) -> Any:
    """Give a version's key as handlers give it."""
    return point[0] if past.has_single_key else point


def find_held(past: Table[Any], point: Point, versions: Mapping[Any, Any]) -> Held:
    """Find what held at *point* among *versions* by key, of which those that are None are gone."""
    mine = sorted(each for each in (as_point(key) for key, row in versions.items() if row is not None) if each[:-1] == point[:-1])
    before = [each for each in mine if each[-1] <= point[-1]]
    until = mine[len(before)][-1] if len(before) < len(mine) else None
    if not before:
        return Held(None, None, until)
    key = as_key(past, before[-1])
    return Held(key, versions[key], until)


def strip_all(joins: Sequence[Join], row: Any) -> None:
    """Take away what any of *joins* set."""
    for each in joins:
        each.strip(row)


def read_topics(projection: Projection, topics: Mapping[str, str], tables: AbstractSet[str]) -> set[str]:
    """Give the topics, of *topics* by source, from which *tables* are made."""
    return {topics[each.source.name] for each in projection.handlers if each.table.name in tables}
