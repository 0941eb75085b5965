"""The look-ups of a join, composed once per join and generation: what a version was at a time, whose rows it is for, who else's it is.

They go by an index: the versions' primary key, and the one that the join declares for its table.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from psycopg import sql

from eventstore.postgres.engine import Connection
from projections.declaration.join import Join, Point
from projections.declaration.table import Table

PAGE = 5_000
"""Rows that are completed anew at a time."""


class Joining:
    """Looks up for *join* in the tables of *schema*."""

    def __init__(self, join: Join, schema: str) -> None:
        self.join = join
        self._name = f"touched_{join.table.name}"[:63]
        *named, since = join.past.key
        past, table = sql.Identifier(schema, join.past.name), sql.Identifier(schema, join.table.name)
        key = [sql.SQL("past.{} = picked.{}").format(*[sql.Identifier(each)] * 2) for each in named]
        mine = [sql.SQL("mine.{} = picked.{}").format(*map(sql.Identifier, both)) for both in zip(join.on, named, strict=True)]
        parts = {
            "picked": _pick(join.past),
            "past": past,
            "table": table,
            "since": sql.Identifier(since),
            "at": sql.Identifier(join.at),
            "versions": _list("past", join.past.columns),
            "rows": _list("mine", join.table.columns),
            "key": sql.SQL(" AND ").join(key) if key else sql.SQL("true"),
            "mine": sql.SQL(" AND ").join(mine) if mine else sql.SQL("true"),
        }
        self._then = sql.SQL(
            "SELECT picked.ordinal_, found.* FROM {picked} CROSS JOIN LATERAL (SELECT {versions} FROM {past} AS past "
            "WHERE {key} AND past.{since} <= picked.{since} ORDER BY past.{since} DESC LIMIT 1) AS found"
        ).format(**parts)
        self._stored = sql.SQL("SELECT {since} FROM {past} AS past WHERE {chosen}").format(
            since=_list("past", join.past.key), past=past, chosen=_choose(join.past, named)
        )
        self._touched = sql.SQL(
            "SELECT picked.ordinal_, {rows} FROM {picked} JOIN {table} AS mine ON {mine} AND mine.{at} >= picked.{since} "
            "AND mine.{at} < coalesce((SELECT min(past.{since}) FROM {past} AS past WHERE {key} AND past.{since} > picked.{since}), "
            "'infinity')"
        ).format(**parts)

    async def find_then(self, connection: Connection, points: list[Point]) -> dict[Point, Any]:
        """Give the version that held at each of *points*; those before the first version are left out."""
        if not points:
            return {}
        make: Any = self.join.past.row
        cursor = await connection.execute(self._then, _arrays(points))
        return {points[number - 1]: make(*values) for number, *values in await cursor.fetchall()}

    async def find_versions(self, connection: Connection, lineages: list[Point]) -> list[Point]:
        """Give the keys of all versions under *lineages*, which are versions' keys without the time."""
        cursor = await connection.execute(self._stored, _arrays(lineages) if self.join.on else [])
        return [tuple(each) for each in await cursor.fetchall()]

    async def find_touched(self, connection: Connection, versions: list[Point]) -> AsyncIterator[list[tuple[Point, Any]]]:
        """Stream the rows for which each of the keys *versions* decides, or decided until it was deleted. Needs an open transaction."""
        make: Any = self.join.table.row
        async with connection.cursor(name=self._name) as cursor:
            await cursor.execute(self._touched, _arrays(versions))
            while found := await cursor.fetchmany(PAGE):
                yield [(versions[number - 1], make(*values)) for number, *values in found]


def _pick(past: Table[Any]) -> sql.Composed:
    """Compose a table of keys from one array a column, numbered from 1."""
    arrays = _take(past, past.key)
    names = sql.SQL(", ").join(map(sql.Identifier, (*past.key, "ordinal_")))
    return sql.SQL("unnest({}) WITH ORDINALITY AS picked({})").format(arrays, names)


def _choose(past: Table[Any], named: Sequence[str]) -> sql.Composable:
    """Compose what picks the versions whose columns *named* are in one array a column; without any, all are of one lineage."""
    if not named:
        return sql.SQL("true")
    return sql.SQL("({}) IN (SELECT * FROM unnest({}))").format(_list("past", named), _take(past, named))


def _take(past: Table[Any], columns: Sequence[str]) -> sql.Composed:
    types = dict(zip(past.columns, past.sql_types(), strict=True))
    return sql.SQL(", ").join(sql.SQL("%s::{}[]").format(sql.SQL(types[each])) for each in columns)  # pyright: ignore[reportArgumentType]


def _list(alias: str, columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("{}.{}").format(sql.SQL(alias), sql.Identifier(each)) for each in columns)  # pyright: ignore[reportArgumentType]


def _arrays(points: list[Point]) -> list[list[Any]]:
    return [list(each) for each in zip(*points, strict=True)]
