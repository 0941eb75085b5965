"""A row that is completed with what another table said at the row's own time: what is declared, and the join itself. Pure.

The other table holds *versions*: rows that hold from a time on, the last column of their key. Between an event and a change of a captured
table the log gives no order, so a handler that looked one up would find whatever had been read by then. A join does not look up: it is
a function of two rows, and is worked out again whenever either of them changes, however late. So a joined row depends on what was read,
never on the order in which it was.

That holds only if no handler sees what was joined, or it would carry an old answer on: `strip` takes it away before they run.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eventstore.errors import UsageError
from projections.declaration.table import Table

Point = tuple[Any, ...]
"""Under which key, and as of when, a row is joined."""


@dataclass(frozen=True, slots=True)
class Join:
    """*function* gives the columns *sets* of a row of *table*, from the row and the version of *past* that held at its *at*.

    *on* are the row's columns that make the version's key, in its order, without the time.
    """

    table: Table[Any]
    past: Table[Any]
    on: tuple[str, ...]
    at: str
    sets: tuple[str, ...]
    function: Callable[[Any, Any], Any]

    def find_point(self, row: Any) -> Point | None:
        """Give where *row* is joined; None = nowhere, since one of its columns is None."""
        point = (*(getattr(row, each) for each in self.on), getattr(row, self.at))
        return None if None in point else point

    def read(self, row: Any) -> tuple[Any, ...]:
        """Give the joined columns of *row*."""
        return tuple(getattr(row, each) for each in self.sets)

    def write(self, row: Any, values: Sequence[Any]) -> None:
        """Set the joined columns of *row*."""
        for name, value in zip(self.sets, values, strict=True):
            object.__setattr__(row, name, value)  # a frozen row is ours until it is written

    def strip(self, row: Any) -> None:
        """Take away what was joined."""
        self.write(row, [None] * len(self.sets))

    def work_out(self, row: Any, then: Any) -> tuple[Any, ...]:
        """Give what belongs into the joined columns of a stripped *row*, of which the function may keep and change nothing."""
        made = self.function(copy.copy(row), then)
        if len(self.sets) == 1:
            return (made,)
        if not isinstance(made, tuple) or len(made) != len(self.sets):  # pyright: ignore[reportUnknownArgumentType]
            raise ValueError(f"{self.function.__qualname__} gave {made!r}, not a value for each of {', '.join(self.sets)}")
        return made  # pyright: ignore[reportUnknownVariableType]

    def fill(self, rows: Iterable[Any], versions: Iterable[Any]) -> None:
        """Fill the joined columns of *rows* from all *versions* there are, as a fold without a database does."""
        known = sorted(versions, key=self.past.key_of)
        for row in rows:
            self.strip(row)
            point = self.find_point(row)
            held = [each for each in known if point and self._holds(each, point)]
            self.write(row, self.work_out(row, held[-1] if held else None))

    def _holds(self, version: Any, point: Point) -> bool:
        *named, since = as_point(self.past.key_of(version))
        return (*named,) == point[:-1] and since <= point[-1]


def as_point(key: Any) -> Point:
    """Give the key of a version as a point."""
    return key if isinstance(key, tuple) else (key,)  # pyright: ignore[reportUnknownVariableType]


def declare_join(
    table: Table[Any], past: Table[Any], on: str | Sequence[str], at: str, sets: str | Sequence[str]
) -> Callable[[Callable[[Any, Any], Any]], Join]:
    """Check a declaration and give what makes a Join of its function. Raises UsageError that names what does not fit."""
    columns = (on,) if isinstance(on, str) else tuple(on)
    given = (sets,) if isinstance(sets, str) else tuple(sets)
    what = f"join of {table.name!r} with {past.name!r}"
    *named, since = past.key
    unknown = [each for each in (*columns, at, *given) if each not in table.columns]
    if unknown or not given:
        raise UsageError(f"{what}: {', '.join(unknown) or 'no column'} is no column of {table.row.__name__} {table.columns}")
    if past.kind(since) is not datetime or table.kind(at) is not datetime:
        raise UsageError(f"{what}: the last column of the versions' key ({since}) and {at} must be datetimes, to be compared")
    if len(columns) != len(named):
        raise UsageError(f"{what}: the versions have the key {past.key}; give {len(named)} columns for {', '.join(named)}")
    for mine, theirs in zip(columns, named, strict=True):
        if table.kind(mine) is not past.kind(theirs):
            raise UsageError(f"{what}: {mine} and {theirs} have different types, so no row would ever be found")
    for each in given:
        if each in table.key or each in (*columns, at) or not table.table.c[each].nullable:
            raise UsageError(f"{what}: {each} can't be set by it; take a column that may be None and that finds no row")
    return lambda function: Join(table, past, columns, at, given, function)


def check_joins(joins: Sequence[Join], unfit: Collection[str]) -> None:
    """Raise UsageError for joins that can't be kept right together, or with a table named in *unfit*, of which no row is at hand."""
    taken: set[tuple[str, str]] = set()
    for each in joins:
        what = f"join of {each.table.name!r} with {each.past.name!r}"
        if each.past.name in {other.table.name for other in joins}:
            raise UsageError(f"{what}: the versions are joined themselves; join the other way, or when reading, with as_of")
        if wrong := [name for name in (each.table.name, each.past.name) if name in unfit]:
            raise UsageError(f"{what}: {wrong[0]} is written by add or SQL handlers, which keep no row at hand; use on")
        if twice := [name for name in each.sets if (each.table.name, name) in taken]:
            raise UsageError(f"{what}: {twice[0]} is set by another join already")
        if mixed := [name for other in joins if other.table is each.table for name in other.sets if name in (*each.on, each.at)]:
            raise UsageError(f"{what}: {mixed[0]} is set by another join, and would find another row each time")
        taken |= {(each.table.name, name) for name in each.sets}
