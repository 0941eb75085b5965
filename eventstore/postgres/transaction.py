"""The caller's own transaction, in whichever form the caller has it: a psycopg connection, SQLAlchemy's, or a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

import psycopg
from psycopg.rows import tuple_row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from eventstore.errors import Unreachable
from eventstore.postgres.engine import ConnectionLost
from eventstore.postgres.refusals import driver_error, is_lost

_PASSING = frozenset({"25P03", "25P04", "40001", "40P01", "53300", "55P03", "57014"})
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


def is_passing(error: BaseException) -> bool:
    """Tell whether what failed may be tried again on a new connection: the server was away, or ended us for sleeping or waiting."""
    if isinstance(error, (Unreachable, *ConnectionLost)):
        return True
    inner = driver_error(error)
    return inner is not None and (inner.sqlstate in _PASSING or is_lost(inner))
