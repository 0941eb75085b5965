"""Every row of a table, as the handlers know it, with constant memory: what copies are filled from and compared with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import Any, TypeVar

from psycopg import sql

from eventstore.postgres.engine import Connection
from projections.declaration.table import Table
from projections.readmodels.statements import compose, key_arrays

R = TypeVar("R")
PAGE = 10_000


async def stream_rows(connection: Connection, table: Table[R], schema: str) -> AsyncIterator[R]:
    """Give the rows of *table* in *schema*, in any order. Needs an open transaction."""
    make: Any = table.row
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    statement = sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier(schema, table.name))
    async with connection.cursor(name=f"stream_{table.name}") as cursor:
        cursor.itersize = PAGE
        await cursor.execute(statement)
        async for values in cursor:
            yield make(*values)


async def load_rows(connection: Connection, table: Table[R], schema: str, keys: Collection[Any]) -> dict[Any, R | None]:
    """Give the rows of *table* in *schema* under *keys*, None for those that are not there."""
    make: Any = table.row
    cursor = await connection.execute(compose(table, schema).load, key_arrays(table, list(keys)))
    rows = [make(*values) for values in await cursor.fetchall()]
    return {**dict.fromkeys(keys), **{table.key_of(each): each for each in rows}}


async def count_rows(connection: Connection, schema: str, table: str) -> int:
    """Give the number of rows of *table* in *schema*."""
    row = await (await connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table)))).fetchone()
    return row[0] if row else 0
