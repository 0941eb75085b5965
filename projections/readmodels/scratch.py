"""SQL handlers on tables of nobody: the free tables of a projection as temporary tables of one session, empty at first.

Statements find them under the same bare names as in a generation, with the same keys and indexes, and reach nothing else. What each touched
is known (`trace`). No name, right or row of the database is taken, and nothing is left when the session ends, however it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import sql

from eventstore.postgres.engine import Connection
from eventstore.postgres.statements import load
from projections.declaration.projection import Projection
from projections.declaration.table import Table
from projections.fold.step import Call
from projections.readmodels.freehand import Freehand
from projections.readmodels.stream import load_rows
from projections.readmodels.trace import compose_trace, take_touched

PACKAGE = "projections"
Touched = set[tuple[str, Any]]
"""Table and key of rows."""


class Scratch:
    """The scratch tables of *projection* over *connection*, which nobody else uses meanwhile and which is in autocommit."""

    def __init__(self, projection: Projection, connection: Connection) -> None:
        self.projection = projection
        self.connection = connection
        self.tables = {each.name: each for each in projection.free_tables}
        self._schema = ""
        self._freehand = Freehand(projection, "", connection)

    async def open(self) -> None:
        """Make the tables, empty."""
        await self.close()
        found = await (await self.connection.execute(load(PACKAGE, "name_temporary"))).fetchone()
        self._schema = found[0] if found else ""
        self._freehand = Freehand(self.projection, self._schema, self.connection)
        async with self.connection.transaction():
            for table in self.tables.values():
                await self._make(table)

    async def close(self) -> None:
        """Drop them, with whatever else is temporary in this session."""
        await self.connection.execute(load(PACKAGE, "discard_temporary"))
        await self.connection.execute(load(PACKAGE, "make_temporary"))

    async def run(self, calls: Sequence[Call]) -> Touched:
        """Make *calls* within the caller's transaction and give the rows that they touched. Raises what a handler raises."""
        await self._freehand.run(calls)
        found: Touched = set()
        for name, table in self.tables.items():
            found |= {(name, key) for key in await take_touched(self.connection, table, self._schema)}
        return found

    async def load(self, name: str, keys: Sequence[Any]) -> dict[Any, Any]:
        """Give the rows of table *name* under *keys*, None for those that are not there."""
        return await load_rows(self.connection, self.tables[name], self._schema, keys)

    async def rows(self, name: str) -> dict[Any, Any]:
        """Give every row of table *name* by key."""
        table = self.tables[name]
        columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
        cursor = await self.connection.execute(
            sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier(self._schema, table.name))
        )
        make: Any = table.row
        return {table.key_of(row): row for row in [make(*values) for values in await cursor.fetchall()]}

    async def _make(self, table: Table[Any]) -> None:
        await self.connection.execute(table.ddl_in(self._schema).encode())
        for index in table.indexes:
            columns = sql.SQL(", ").join(sql.Identifier(each.name) for each in index.columns)
            await self.connection.execute(
                sql.SQL("CREATE INDEX ON {} ({})").format(sql.Identifier(self._schema, table.name), columns)
            )
        for statement in compose_trace(table, self._schema):
            await self.connection.execute(statement)
