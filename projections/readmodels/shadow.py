"""What a table should hold beside what it holds: the expected rows lie in a temporary table, and PostgreSQL compares.

Both sides are digested by one server from columns of the same types, so that a value has one text. The digest of a range of keys is
a sum, hence free of order. Rows are staged in short transactions and compared without writing anything: a comparison of hours takes no
transaction id, and so holds no ordered reader back. All of it lies on disk: memory does not grow with the table.

The temporary table bears the table's name, so `ReadModel(projection, HERE)` loads and writes its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from psycopg import sql
from psycopg.types.json import Jsonb

from eventstore.codec import decode
from eventstore.postgres.engine import Connection
from projections.declaration.table import Table

HERE: Final = "pg_temp"


@dataclass(frozen=True, slots=True)
class Range:
    """A range of keys with the rows and the digest of either side."""

    first: list[Any]
    last: list[Any]
    expected_rows: int
    found_rows: int
    expected_digest: int
    found_digest: int

    @property
    def is_equal(self) -> bool:
        """Whether both sides hold the same rows in it."""
        return (self.expected_rows, self.expected_digest) == (self.found_rows, self.found_digest)

    def facts(self) -> dict[str, Any]:
        """Give all of it for `--json`, digests as text because a sum of digests is longer than JSON's numbers."""
        digests = {"expected_digest": str(self.expected_digest), "found_digest": str(self.found_digest)}
        return {**asdict(self), **digests}


@dataclass(frozen=True, slots=True)
class Differences:
    """How many rows are *missing* in the table, *surplus* there, or *changed*; the first of their keys, as JSON."""

    missing: int
    surplus: int
    changed: int
    keys: list[str]


class Shadow:
    """The expected rows of *table* in *schema*, on one connection in autocommit.

    *aside* are keys (as JSON) that are compared one by one, because their rows change at this moment; *without* columns that are not
    compared.
    """

    def __init__(self, connection: Connection, table: Table[Any], schema: str) -> None:
        self._connection = connection
        self._table = table
        self._target = sql.Identifier(schema, table.name)
        self._shadow = sql.Identifier(HERE, table.name)
        self._key = sql.SQL("jsonb_build_array({})::text").format(sql.SQL(", ").join(map(sql.Identifier, table.key)))

    async def open(self) -> None:
        """Make the temporary table, empty and without any constraint."""
        await self.close()
        make = sql.SQL("CREATE TEMP TABLE {} AS SELECT * FROM {} WITH NO DATA")
        await self._connection.execute(make.format(sql.Identifier(self._table.name), self._target))

    async def close(self) -> None:
        """Drop it."""
        await self._connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(self._shadow))

    async def digest(self, ranges: int, aside: Sequence[str], without: Sequence[str]) -> list[Range]:
        """Compare in up to *ranges* ranges of keys, each with about as many rows."""
        cursor = await self._connection.execute(
            _RANGES.format(both=self._both(without), ranges=sql.Literal(ranges)), {"aside": list(aside)}
        )
        return [Range(decode(first), decode(last), *map(int, rest)) for first, last, *rest in await cursor.fetchall()]

    async def differ(self, samples: int, aside: Sequence[str], without: Sequence[str]) -> Differences:
        """Count the differing rows and give the keys of some."""
        cursor = await self._connection.execute(
            _DIFFERENCES.format(both=self._both(without)), {"aside": list(aside), "samples": samples}
        )
        missing, surplus, changed, keys = await cursor.fetchone() or (0, 0, 0, None)
        return Differences(missing, surplus, changed, keys or [])

    async def holds(self, key: str, row: Any, without: Sequence[str]) -> bool:
        """Say whether the table holds *row* under *key*; None = no row."""
        columns = [each for each in self._table.columns if each not in without]
        values = dict(zip(self._table.columns, self._table.values(row), strict=True)) if row is not None else {}
        types = dict(zip(self._table.columns, self._table.sql_types(), strict=True))
        given = sql.SQL(", ").join(
            sql.SQL("{}::{}").format(sql.Placeholder(), sql.SQL(types[each]))  # pyright: ignore[reportArgumentType]
            for each in columns
        )
        found = await self._read_text(self._target, key, columns)
        if row is None or found is None:
            return row is None and found is None
        taken = [_wrap(values[each]) for each in columns]
        wanted = await (await self._connection.execute(sql.SQL("SELECT ROW({})::text").format(given), taken)).fetchone()
        return wanted is not None and wanted[0] == found

    async def look(self, key: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Give the expected and the found row under *key*, for people to compare."""
        sides: list[dict[str, Any] | None] = []
        for side in (self._shadow, self._target):
            query = sql.SQL("SELECT to_jsonb(t) FROM {} AS t WHERE {} = %s LIMIT 1").format(side, self._key)
            row = await (await self._connection.execute(query, (key,))).fetchone()
            sides.append(row[0] if row else None)
        return sides[0], sides[1]

    async def name_key(self, key: Any) -> str:
        """Write a row's key as JSON, as PostgreSQL does."""
        types = dict(zip(self._table.columns, self._table.sql_types(), strict=True))
        parts = sql.SQL(", ").join(sql.SQL("%s::{}").format(sql.SQL(types[each])) for each in self._table.key)  # pyright: ignore[reportArgumentType]
        query = sql.SQL("SELECT jsonb_build_array({})::text").format(parts)
        row: Any = await (await self._connection.execute(query, [key] if self._table.has_single_key else list(key))).fetchone()
        return row[0]

    async def _read_text(self, side: sql.Identifier, key: str, columns: Sequence[str]) -> str | None:
        """Give the row under *key* as PostgreSQL writes it."""
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        query = sql.SQL("SELECT ROW({})::text FROM {} WHERE ({}) = (SELECT {} FROM jsonb_populate_record(NULL::{}, %s))")
        keys = sql.SQL(", ").join(map(sql.Identifier, self._table.key))
        record = Jsonb(dict(zip(self._table.key, decode(key), strict=True)))
        row = await (await self._connection.execute(query.format(names, side, keys, keys, side), (record,))).fetchone()
        return row[0] if row else None

    def _both(self, without: Sequence[str]) -> sql.Composed:
        columns = sql.SQL(", ").join(sql.Identifier(each) for each in self._table.columns if each not in without)
        return _BOTH.format(key=self._key, columns=columns, expected=self._shadow, found=self._target)


def _wrap(value: Any) -> Any:
    return Jsonb(value) if isinstance(value, (dict, list)) else value


_BOTH = sql.SQL(
    'both_sides AS MATERIALIZED (SELECT * FROM (SELECT 0 AS side, {key} COLLATE "C" AS k, '
    "hashtextextended(ROW({columns})::text, 0) AS h FROM {expected} "
    "UNION ALL SELECT 1, {key}, hashtextextended(ROW({columns})::text, 0) FROM {found}) AS rows WHERE k <> ALL (%(aside)s::text[]))"
)
_RANGES = sql.SQL(
    "WITH {both}, edge AS (SELECT array_agg(least.k ORDER BY least.k) AS keys FROM (SELECT DISTINCT min(t.k) AS k FROM "
    "(SELECT k, ntile({ranges}) OVER (ORDER BY k) AS n FROM both_sides) AS t GROUP BY t.n) AS least) "
    "SELECT min(b.k), max(b.k), count(*) FILTER (WHERE b.side = 0), count(*) FILTER (WHERE b.side = 1), "
    "coalesce(sum(b.h::numeric) FILTER (WHERE b.side = 0), 0), coalesce(sum(b.h::numeric) FILTER (WHERE b.side = 1), 0) "
    "FROM both_sides AS b, edge GROUP BY width_bucket(b.k, edge.keys) ORDER BY 1"
)
_DIFFERENCES = sql.SQL(
    "WITH {both}, pair AS (SELECT k, count(*) AS n, count(*) FILTER (WHERE side = 0) AS wanted, min(h) AS low, max(h) AS high "
    "FROM both_sides GROUP BY k), different AS (SELECT * FROM pair WHERE n <> 2 OR wanted <> 1 OR low <> high) "
    "SELECT count(*) FILTER (WHERE wanted = n), count(*) FILTER (WHERE wanted = 0), count(*) FILTER (WHERE wanted BETWEEN 1 AND n - 1), "
    "(SELECT array_agg(k ORDER BY k) FROM (SELECT k FROM different ORDER BY k LIMIT %(samples)s) AS first_ones) FROM different"
)
