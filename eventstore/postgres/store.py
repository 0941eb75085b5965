"""The event store on PostgreSQL.

An append is one function call in one round trip; all ordering rules live in `append_v1`, so that every writer obeys them,
whatever its language. Reading takes one statement a page and holds no transaction open between pages, since an open one
would hold back every ordered reader. Source: docs/explanation/order.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, LiteralString, Self
from uuid import UUID

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from eventstore.envelope import Envelope
from eventstore.errors import Unreachable, UsageError
from eventstore.event import Events, registry
from eventstore.postgres.bulk import Imported, import_events
from eventstore.postgres.engine import checkout, open_engine, unreachable
from eventstore.postgres.migrate import require_current
from eventstore.postgres.refusals import backoff_s, driver_error, is_lost, is_repeatable, translate
from eventstore.postgres.rows import Row, Writer, check_stream, envelope
from eventstore.postgres.statements import load
from eventstore.postgres.transaction import OwnConnection, fetch
from eventstore.settings import PostgresSettings
from eventstore.stream import ANY_VERSION, START, STREAM_EXISTS, Position, Token, check_moment

_HERE = "eventstore.postgres"
_PAGE = 1_000
_NEWEST = 2**63 - 1


class PostgresEventStore:
    """Streams of events in PostgreSQL. Make one with `open`; any number of tasks may use it at once."""

    def __init__(self, engine: AsyncEngine, settings: PostgresSettings, events: Events = registry) -> None:
        self.engine = engine
        self._settings = settings
        self._events = events
        self._writer = Writer(events, settings)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: PostgresSettings | None = None, *, engine: AsyncEngine | None = None) -> AsyncGenerator[Self]:
        """Open the store, on *engine* if given (which then stays open). Raises MigrationMissing, Unreachable."""
        chosen = settings or PostgresSettings()
        own = engine or open_engine(chosen)
        try:
            async with checkout(own) as connection:
                await require_current(connection)
            yield cls(own, chosen)
        finally:
            if engine is None:
                await own.dispose()

    async def append(
        self,
        stream: str,
        events: Iterable[object],
        *,
        expected: int = ANY_VERSION,
        connection: OwnConnection | None = None,
    ) -> Token:
        """Record *events* at the end of *stream*, all or none, and give the token of the last.

        1 to `max_append_events` events, instances of event classes or NewEvent. Equal event ids are recorded once: the same
        append again gives the same token and writes nothing, which is why one whose outcome is unknown is simply repeated.
        *expected*: a version, or NO_STREAM, STREAM_EXISTS, ANY_VERSION. *connection*: record within the caller's transaction
        (then the caller repeats it on SQLSTATE 40001).
        Raises WrongExpectedVersion: load, decide, append again. DuplicateEvent: ids are recorded as something else.
        """
        if expected < STREAM_EXISTS:
            raise UsageError(f"expected={expected}: give a version from 0, ANY_VERSION or STREAM_EXISTS")
        wrapped = self._writer.wrap(events)
        arguments = (check_stream(stream), expected, *self._writer.parameters(wrapped))
        if connection is not None:
            return await self._append_within(connection, arguments)
        return await self._append_alone(arguments)

    async def _append_alone(self, arguments: tuple[str, int, str, str]) -> Token:
        sent = False
        for attempt in range(1, self._settings.append_attempts + 1):
            try:
                async with checkout(self.engine) as connection:
                    sent = True
                    return await _record(connection, arguments)
            except psycopg.Error as error:
                if not is_repeatable(error) or attempt == self._settings.append_attempts:
                    raise self._refusal(error, arguments) from error
            except Unreachable as error:
                if not sent:
                    raise
                if attempt == self._settings.append_attempts:
                    raise _unknown(error) from error
            await asyncio.sleep(backoff_s(attempt))
        raise AssertionError("the last attempt returns or raises")

    async def _append_within(self, connection: OwnConnection, arguments: tuple[str, int, str, str]) -> Token:
        try:
            if isinstance(connection, AsyncSession):
                connection = await connection.connection()
            if isinstance(connection, AsyncConnection):
                found = await connection.exec_driver_sql(load(_HERE, "append"), arguments)
                return _token(arguments[0], found.one())
            return await _record(connection, arguments)
        except (psycopg.Error, DBAPIError) as error:
            inner = driver_error(error)
            if inner is None or (known := translate(inner, arguments[0], arguments[1])) is None:
                raise
            raise known from error

    def _refusal(self, error: psycopg.Error, arguments: tuple[str, int, str, str]) -> Exception:
        if is_lost(error):
            return _unknown(unreachable(self._settings, error))
        return translate(error, arguments[0], arguments[1]) or error

    async def read_stream(
        self,
        stream: str,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        as_of: datetime | None = None,
        connection: OwnConnection | None = None,
        decoded: bool = True,
    ) -> AsyncIterator[Envelope[Any]]:
        """Read *stream* by version, both ends included, as it was recorded at *as_of*; *decoded* false leaves data as stored.

        *connection*: read within the caller's transaction, its own appends included. Raises UnknownEvent, UndecodableRecord.
        """
        last = _NEWEST if to_version is None else to_version
        if as_of is not None:
            later = await self._page("version_at", (stream, check_moment(as_of)), connection)
            last = min(last, later[0][0]) if later else last
        while from_version <= last:
            rows = await self._page("read_stream", (stream, from_version, last, _PAGE), connection)
            for row in rows:
                yield envelope(row, self._events if decoded else None)
            if len(rows) < _PAGE:
                return
            from_version = rows[-1][1] + 1

    async def read_all(
        self, after: Position = START, limit: int | None = None, *, decoded: bool = True
    ) -> AsyncIterator[Envelope[Any]]:
        """Read all events in order from just after *after*, as far as no running transaction could still add behind.

        Ends there; ask again from the last position. What is given here is never preceded by anything new. *decoded* false
        leaves data as it was stored.
        """
        left = _NEWEST if limit is None else limit
        while left > 0:
            size = min(left, _PAGE)
            rows = await self._page("read_all", (str(after.xid), after.sequence, size))
            for row in rows:
                yield envelope(row, self._events if decoded else None)
            if len(rows) < size:
                return
            after = Position(rows[-1][2], rows[-1][3])
            left -= size

    async def find(self, event_id: UUID, *, connection: OwnConnection | None = None) -> tuple[str, int] | None:
        """Give the stream and version of the event recorded as *event_id*, None when there is none."""
        rows = await self._page("find_event", (event_id,), connection)
        return (rows[0][0], rows[0][1]) if rows else None

    async def hold(self, stream: str, connection: OwnConnection) -> None:
        """Let nobody else append to *stream* until the transaction of *connection* ends; take it before reading the stream."""
        await self._page("hold_stream", (stream,), connection)

    async def head(self) -> Position:
        """Give the position of the last event that ordered readers see now; START when there is none."""
        rows = await self._page("head", ())
        return Position(rows[0][0], rows[0][1]) if rows else START

    async def count(self, after: Position = START) -> int:
        """Count the events that ordered readers see after *after*; takes about 0.1 s a million."""
        return (await self._page("count", (str(after.xid), after.sequence)))[0][0]

    async def import_events(self, events: Iterable[tuple[str, object]] | AsyncIterable[tuple[str, object]]) -> Imported:
        """Record many events of many streams, in order, as (stream, event) pairs: by COPY, a chunk a transaction.

        Known event ids are skipped, so after a crash the same call goes on where it stopped, provided that the events are
        NewEvents with the ids of the first run. There is no expected version; versions follow from the order given.
        """
        return await import_events(self.engine, events, self._writer, self._settings)

    async def _page(self, name: str, arguments: tuple[Any, ...], within: OwnConnection | None = None) -> list[Any]:
        statement: LiteralString = load(_HERE, name)
        if within is not None:
            return await fetch(within, statement, arguments)
        async with checkout(self.engine) as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute(statement, arguments)
            rows: list[Row] = await cursor.fetchall()
            return rows


async def _record(connection: psycopg.AsyncConnection[Any], arguments: tuple[str, int, str, str]) -> Token:
    cursor = await connection.execute(load(_HERE, "append"), arguments)
    return _token(arguments[0], await cursor.fetchone())


def _unknown(error: Unreachable) -> Unreachable:
    return Unreachable(
        f"{error} The outcome of the append is unknown: append the same NewEvents again, they are recorded once.", **error.facts
    )


def _token(stream: str, row: Any) -> Token:
    return Token(stream, row[0], Position(row[1], row[2]))
