"""What a copy lacks while its sink is away: the keys of the rows that changed meanwhile, and from which offsets on.

They are written beside the tables, in the transactions that change the rows. So whatever the checkpoint says is in the copy, or its key is
here; nobody's memory counts. A key stands once however often its row changes: what is owed never outgrows the table, and is paid by the
rows as they are then. A copy that is found to stand before the offsets noted here has lost more than this, and is filled anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from psycopg import sql

from eventstore.postgres.engine import Connection
from eventstore.postgres.statements import load
from projections.control.checkpoint import Partition, Vector
from projections.declaration.table import Table
from projections.readmodels.statements import key_arrays

PACKAGE = "projections"


class Owed(NamedTuple):
    """What a copy lacks: *rows* of them, for *seconds*, because of *reason*; *offsets* are where it stood at each partition's first."""

    rows: int
    seconds: float
    reason: str
    offsets: Vector

    def __str__(self) -> str:
        return f"behind by {self.rows:,} rows since {self.seconds:,.0f} s: {self.reason}"

    def facts(self) -> dict[str, Any]:
        """Give what a program wants to know."""
        return {"behind_rows": self.rows, "behind_s": round(self.seconds, 1)}


class Debt:
    """What is owed to the copy *sink* (`kind:table`) of the generation in *schema*."""

    def __init__(self, sink: str, schema: str) -> None:
        self._schema = schema
        self._table = sink.partition(":")[2]
        self._name = f"owed_{hashlib.sha256(sink.encode()).hexdigest()[:24]}"
        self._keys = sql.Identifier(schema, self._name)
        self._since = sql.Identifier(schema, f"{self._name}_since")

    async def lay(self, connection: Connection, table: Table[Any]) -> None:
        """Make the tables, in a transaction that holds the generation's checkpoint, unless they are there."""
        if await self.is_laid(connection):
            return
        names = sql.SQL(", ").join(map(sql.Identifier, table.key))
        await connection.execute(load(PACKAGE, "become_projector"))
        for statement, values in (
            (_KEYS, {"keys": self._keys, "names": names, "rows": sql.Identifier(self._schema, self._table)}),
            (_UNIQUE, {"keys": self._keys, "names": names}),
            (_HIDE, {"table": self._keys}),
            (_SINCE, {"since": self._since}),
            (_HIDE, {"table": self._since}),
        ):
            await connection.execute(statement.format(**values))
        await connection.execute(load(PACKAGE, "become_oneself"))

    async def is_laid(self, connection: Connection) -> bool:
        """Say whether the tables are there."""
        values = {"schema": self._schema, "name": f"{self._name}_since"}
        return bool(await (await connection.execute(load(PACKAGE, "find_relation"), values)).fetchone())

    async def note(
        self, connection: Connection, table: Table[Any], keys: Collection[Any], offsets: Mapping[Partition, int], reason: str
    ) -> None:
        """Owe the rows under *keys*, in the transaction that changes them; *offsets* count where a partition owes nothing yet."""
        wanted = sorted(offsets)
        columns = [[topic for topic, _ in wanted], [number for _, number in wanted], [offsets[each] for each in wanted]]
        await connection.execute(_OWE_SINCE.format(since=self._since), (reason[:500], *columns))
        if keys:
            kinds = dict(zip(table.columns, table.sql_types(), strict=True))
            arrays = sql.SQL(", ").join(sql.SQL("%s::{}[]").format(sql.SQL(kinds[each])) for each in table.key)  # pyright: ignore[reportArgumentType]
            await connection.execute(_OWE.format(keys=self._keys, arrays=arrays), key_arrays(table, list(keys)))

    async def owe_all(self, connection: Connection, table: Table[Any]) -> None:
        """Owe every row that there is."""
        names = sql.SQL(", ").join(map(sql.Identifier, table.key))
        rows = sql.Identifier(self._schema, self._table)
        await connection.execute(_OWE_ALL.format(keys=self._keys, names=names, rows=rows))

    async def read(self, connection: Connection) -> Owed | None:
        """Give what is owed; None = nothing."""
        if not await self.is_laid(connection):
            return None
        found = await (await connection.execute(_READ.format(since=self._since))).fetchall()
        if not found:
            return None
        row = await (await connection.execute(_COUNT.format(keys=self._keys))).fetchone()
        offsets = {(topic, number): offset for topic, number, offset, _, _ in found}
        return Owed(row[0] if row else 0, max(float(each[3]) for each in found), found[0][4], offsets)

    async def take(self, connection: Connection, table: Table[Any], most: int) -> set[Any]:
        """Take up to *most* keys off, in the transaction that brings their rows to the copy."""
        names = sql.SQL(", ").join(map(sql.Identifier, table.key))
        found = await (await connection.execute(_TAKE.format(keys=self._keys, names=names), (most,))).fetchall()
        return {key for (key,) in found} if table.has_single_key else set(found)

    async def settle(self, connection: Connection, partitions: Collection[Partition]) -> None:
        """Owe nothing more from *partitions*."""
        topics, numbers = [topic for topic, _ in partitions], [number for _, number in partitions]
        await connection.execute(_SETTLE.format(since=self._since), (topics, numbers))

    async def clear(self, connection: Connection) -> None:
        """Owe nothing more at all: the copy was filled in the same transaction."""
        if await self.is_laid(connection):
            await connection.execute(_CLEAR.format(table=self._keys))
            await connection.execute(_CLEAR.format(table=self._since))


_KEYS = sql.SQL("CREATE TABLE IF NOT EXISTS {keys} AS SELECT {names} FROM {rows} WITH NO DATA")
_UNIQUE = sql.SQL("CREATE UNIQUE INDEX ON {keys} ({names})")
_SINCE = sql.SQL(
    'CREATE TABLE IF NOT EXISTS {since} (topic text, partition integer, "offset" bigint NOT NULL, '
    "since timestamptz NOT NULL DEFAULT clock_timestamp(), reason text NOT NULL, PRIMARY KEY (topic, partition))"
)
_HIDE = sql.SQL("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
_OWE = sql.SQL("INSERT INTO {keys} SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING")
_OWE_ALL = sql.SQL("INSERT INTO {keys} SELECT {names} FROM {rows} ON CONFLICT DO NOTHING")
_OWE_SINCE = sql.SQL(
    'INSERT INTO {since} (topic, partition, "offset", reason) '
    "SELECT t, p, o, %s::text FROM unnest(%s::text[], %s::integer[], %s::bigint[]) AS w(t, p, o) "
    "ON CONFLICT (topic, partition) DO NOTHING"
)
_READ = sql.SQL(
    'SELECT topic, partition, "offset", extract(epoch FROM clock_timestamp() - since), reason FROM {since} ORDER BY since'
)
_COUNT = sql.SQL("SELECT count(*) FROM {keys}")
_TAKE = sql.SQL("DELETE FROM {keys} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {keys} LIMIT %s)) RETURNING {names}")
_SETTLE = sql.SQL("DELETE FROM {since} USING unnest(%s::text[], %s::integer[]) AS w(t, p) WHERE topic = t AND partition = p")
_CLEAR = sql.SQL("DELETE FROM {table}")
