"""One pool policy for every connection: who we are, how long we may idle, and one error when the server does not answer.

`open_engine` gives an ordinary SQLAlchemy engine, `checkout` the psycopg connection under it, for functions, COPY and
pipelines. `libpq` reads the DSN itself, so sockets, services and several hosts work as everywhere else.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from eventstore.errors import Unreachable
from eventstore.settings import PostgresSettings

Connection = psycopg.AsyncConnection[Any]
ConnectionLost = (psycopg.OperationalError, psycopg.InterfaceError, OperationalError)
"""What a statement raises when its connection is gone; take a new one."""


def open_engine(settings: PostgresSettings | None = None, *, application: str = "refold") -> AsyncEngine:
    """Make the engine for *settings*; nothing is connected before its first use. End it with `await engine.dispose()`.

    *application* is what `pg_stat_activity` shows. Sessions run in UTC, without JIT (it costs more than it saves on short
    statements), and are ended by the server when they idle inside a transaction. Raises Unreachable at first use.
    """
    chosen = settings or PostgresSettings()
    return create_async_engine(
        "postgresql+psycopg://",
        async_creator=_connector(chosen, application),
        pool_size=chosen.pool_size,
        max_overflow=0,
        pool_timeout=chosen.connect_timeout_s,
    )


@asynccontextmanager
async def checkout(engine: AsyncEngine) -> AsyncGenerator[Connection]:
    """Lend a pooled connection as psycopg's own, in autocommit: open transactions with `async with connection.transaction()`.

    What was left open is rolled back on return; a broken connection is thrown away together with its idle siblings.
    """
    async with engine.connect() as connection:
        pooled = await connection.get_raw_connection()
        raw: Connection = pooled.driver_connection  # pyright: ignore[reportAssignmentType]
        await raw.set_autocommit(True)
        try:
            yield raw
        finally:
            if raw.closed:
                await connection.invalidate()
                await engine.dispose()
            else:
                await _clean(raw)


async def _clean(raw: Connection) -> None:
    if raw.info.transaction_status != TransactionStatus.IDLE:
        await raw.rollback()
    raw.row_factory = tuple_row
    await raw.set_autocommit(False)


def _connector(settings: PostgresSettings, application: str) -> Callable[..., Awaitable[Connection]]:
    dsn = settings.dsn.get_secret_value()
    own = f"-c idle_in_transaction_session_timeout={settings.idle_in_transaction_s * 1000:.0f} -c jit=off -c timezone=UTC"

    async def connect(*_: Any, **__: Any) -> Connection:
        try:
            given = str(conninfo_to_dict(dsn).get("options") or "")
            return await psycopg.AsyncConnection.connect(
                dsn,
                autocommit=False,
                application_name=application,
                connect_timeout=max(2, round(settings.connect_timeout_s)),
                options=f"{own} {given}".strip(),
            )
        except psycopg.Error as error:
            raise unreachable(settings, error) from error

    return connect


def unreachable(settings: PostgresSettings, error: BaseException) -> Unreachable:
    """Say in one sentence that the server at the masked address does not answer, and what to do."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return Unreachable(
        f"PostgreSQL at {settings.address} does not let us in: {reason.rstrip('?.')}. "
        "Start it (`refold up`) or set REFOLD_POSTGRES_DSN to a server that runs.",
        address=settings.address,
    )
