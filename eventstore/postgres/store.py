"""The event store on PostgreSQL.

An append is one function call in one round trip; all ordering rules live in `append_v3`, so that every writer obeys them,
whatever its language. Reading takes one statement a page and holds no transaction open between pages, since an open one
would hold back every ordered reader. Source: docs/explanation/order.md.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, LiteralString, Self
from uuid import UUID

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.codec import encode
from eventstore.envelope import Envelope
from eventstore.event import Events, registry
from eventstore.postgres.bulk import Imported, import_events
from eventstore.postgres.engine import checkout, open_engine, unreachable
from eventstore.postgres.keys import opened_keyring
from eventstore.postgres.lane import Lanes, arguments_of, translate_refusal
from eventstore.postgres.migrate import require_current
from eventstore.postgres.refusals import driver_error, is_lost
from eventstore.postgres.request import Request, Requests
from eventstore.postgres.rows import Row, Writer, envelope
from eventstore.postgres.statements import load
from eventstore.postgres.tenants import TenantStore
from eventstore.postgres.transaction import OwnConnection, fetch
from eventstore.privacy.keyring import Keyring
from eventstore.privacy.opener import Opener
from eventstore.query import FailIf, Marker, Query
from eventstore.sealer import Sealer
from eventstore.settings import PostgresSettings
from eventstore.store import Append, Found
from eventstore.stream import ANY_VERSION, START, Position, Token, check_moment

_HERE = "eventstore.postgres"
_PAGE = 1_000
_NEWEST = 2**63 - 1


class PostgresEventStore:
    """Streams of events in PostgreSQL. Make one with `open`; any number of tasks may use it at once."""

    def __init__(
        self, engine: AsyncEngine, settings: PostgresSettings, events: Events = registry, *, keyring: Keyring | None = None
    ) -> None:
        """Take the *keyring* that opens and seals personal fields; without one they read as SEALED and can't be recorded."""
        self.engine = engine
        self.keyring = keyring
        self._settings = settings
        self._events = events
        self._writer = Writer(events, settings)
        self._requests = Requests(self._writer, settings, lambda kind: events.of(kind).name)
        self._lanes = Lanes(engine, settings)
        self._sealer = Sealer(events, keyring)
        self._opener = Opener(keyring)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: PostgresSettings | None = None, *, engine: AsyncEngine | None = None, keyring: Keyring | None = None
    ) -> AsyncGenerator[Self]:
        """Open the store, on *engine* if given (which then stays open). Raises MigrationMissing, Unreachable.

        *keyring*: for personal data; without one, what the REFOLD_PRIVACY_ settings name, if anything.
        """
        chosen = settings or PostgresSettings()
        own = engine or open_engine(chosen)
        try:
            try:
                async with checkout(own) as connection:
                    await require_current(connection)
            except psycopg.Error as error:
                if not is_lost(error):
                    raise
                raise unreachable(chosen, error) from error
            async with opened_keyring(own) as found:
                store = cls(own, chosen, keyring=keyring or found)
                try:
                    yield store
                finally:
                    await store._lanes.close()
        finally:
            if engine is None:
                await own.dispose()

    async def append(
        self,
        stream: str,
        events: Iterable[object],
        *,
        expected: int = ANY_VERSION,
        condition: FailIf | None = None,
        connection: OwnConnection | None = None,
    ) -> Token:
        """Record *events* at the end of *stream*, all or none, and give the token of the last.

        1 to `max_append_events` events, instances of event classes or NewEvent. Equal event ids are recorded once: the same
        append again gives the same token and writes nothing, which is why one whose outcome is unknown is simply repeated.
        *expected*: a version, or NO_STREAM, STREAM_EXISTS, ANY_VERSION. *condition*: refuse when an event matches its query.
        *connection*: record within the caller's transaction (then the caller repeats it on SQLSTATE 40001).
        Raises WrongExpectedVersion, ConditionFailed: load, decide, append again. DuplicateEvent: ids are recorded as something
        else. LimitExceeded, Unreachable. A refusal leaves the caller's transaction as it was.
        """
        return (await self.append_all([Append(stream, tuple(events), expected)], condition=condition, connection=connection))[0]

    async def append_all(
        self, appends: Iterable[Append], *, condition: FailIf | None = None, connection: OwnConnection | None = None
    ) -> list[Token]:
        """Record *appends*, each to a stream of its own, all or none, and give their tokens. Otherwise as `append`."""
        sealed = [
            (each.stream, each.expected, await self._sealer.seal(each.stream, self._writer.wrap(each.events))) for each in appends
        ]
        request = self._requests.make(sealed, condition)
        return await (self._lanes.record(request) if connection is None else self._record_within(connection, request))

    async def _record_within(self, connection: OwnConnection, request: Request) -> list[Token]:
        try:
            rows = await fetch(connection, load(_HERE, "append"), arguments_of([request]))
        except (psycopg.Error, DBAPIError) as error:
            inner = driver_error(error)
            known = inner and translate_refusal(inner, request)
            if known is None or known is inner:
                raise
            raise known from error
        return request.answer(rows)

    async def read(
        self,
        query: Query,
        *,
        after: Marker | None = None,
        limit: int | None = None,
        newest: bool = False,
        decoded: bool = True,
    ) -> Found:
        """Read the events that match *query*, all that is committed now, and that *after* has not seen.

        *limit*: so many at most, from the oldest on; *newest*: from the newest back. The marker stands for the whole look, so a
        condition with it fails on whatever comes after, not on what *limit* left out. Raises UnknownEvent, UndecodableRecord.
        """
        items = encode(self._requests.items(query)).decode()
        place = {"items": items, "after": after and after.snapshot, "limit": limit, "newest": newest}
        rows = await self._page("read_query", place)
        found = [row[1:] for row in rows if row[1] is not None]
        return Found(await self._envelopes(found, decoded=decoded), Marker(rows[0][0]))

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
            for each in await self._envelopes(rows, decoded=decoded):
                yield each
            if len(rows) < _PAGE:
                return
            from_version = rows[-1][1] + 1

    async def read_all(
        self, after: Position = START, limit: int | None = None, *, decoded: bool = True, prefix: str = ""
    ) -> AsyncIterator[Envelope[Any]]:
        """Read all events in order from just after *after*, as far as no running transaction could still add behind.

        Ends there; ask again from the last position. What is given here is never preceded by anything new. *decoded* false
        leaves data as it was stored. *prefix*: only streams whose name begins with it; the others are passed over by the server.
        """
        left = _NEWEST if limit is None else limit
        while left > 0:
            size = min(left, _PAGE)
            place = (str(after.xid), after.sequence)
            rows = await (self._page("read_prefix", (*place, prefix, size)) if prefix else self._page("read_all", (*place, size)))
            for each in await self._envelopes(rows, decoded=decoded):
                yield each
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
        private = any(each.privacy for each in self._events)
        pairs = self._sealer.seal_many(events) if private else events
        return await import_events(self.engine, pairs, self._writer, self._settings)

    def tenant(self, name: str) -> TenantStore:
        """Give the store as tenant *name* sees it: its own streams and nothing else. Raises UsageError for a malformed name."""
        return TenantStore(self, name)

    async def _envelopes(self, rows: list[Row], *, decoded: bool) -> list[Envelope[Any]]:
        if not decoded:
            return [envelope(row, None) for row in rows]
        await self._opener.prepare([row[7] for row in rows])
        return [envelope(row, self._events, self._opener) for row in rows]

    async def _page(
        self, name: str, arguments: tuple[Any, ...] | dict[str, Any], within: OwnConnection | None = None
    ) -> list[Any]:
        statement: LiteralString = load(_HERE, name)
        if within is not None:
            return await fetch(within, statement, arguments)
        async with checkout(self.engine) as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute(statement, arguments)
            rows: list[Row] = await cursor.fetchall()
            return rows
