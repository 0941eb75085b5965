"""The caller's own transaction, in whichever form the caller has it: a psycopg connection, SQLAlchemy's, or a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

import psycopg
from psycopg.rows import tuple_row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

OwnConnection = AsyncConnection | AsyncSession | psycopg.AsyncConnection[Any]


async def fetch(
    connection: OwnConnection, statement: LiteralString, arguments: Sequence[Any] | Mapping[str, Any] = ()
) -> list[Any]:
    """Run *statement* (psycopg's placeholders) within the transaction of *connection* and give its rows as tuples."""
    if isinstance(connection, AsyncSession):
        connection = await connection.connection()
    if isinstance(connection, AsyncConnection):
        found = await connection.exec_driver_sql(
            statement, dict(arguments) if isinstance(arguments, Mapping) else tuple(arguments)
        )
        return list(found.all()) if found.returns_rows else []
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(statement, arguments)
        return await cursor.fetchall() if cursor.description else []
