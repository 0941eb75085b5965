"""What an event store does, whatever keeps the events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from eventstore.envelope import Envelope
from eventstore.query import FailIf, Marker, Query
from eventstore.stream import ANY_VERSION, START, Position, Token


@dataclass(frozen=True, slots=True)
class Append:
    """What `append_all` records in one of its streams: *events*, if the stream is as *expected*."""

    stream: str
    events: Sequence[object]
    expected: int = ANY_VERSION


@dataclass(frozen=True, slots=True)
class Found:
    """What a query found: *events* in order, and the *marker* of having looked."""

    events: list[Envelope[Any]]
    marker: Marker


class EventStore(Protocol):
    """Streams of events that only grow, and one order over all of them."""

    async def append(
        self,
        stream: str,
        events: Iterable[object],
        *,
        expected: int = ANY_VERSION,
        condition: FailIf | None = None,
        connection: Any = None,
    ) -> Token:
        """Record *events* (instances of event classes, or NewEvent) at the end of *stream*, all or none.

        Equal event ids are recorded once: a repeated append returns what the first one returned.
        *condition*: only if no event matches its query that its marker has not seen.
        *connection*: append inside the caller's own transaction; without it the append commits before this returns.
        Raises WrongExpectedVersion when *expected* does not hold, ConditionFailed when *condition* does not, DuplicateEvent when
        ids are recorded as something else, LimitExceeded, Unreachable.
        """
        ...

    async def append_all(
        self, appends: Iterable[Append], *, condition: FailIf | None = None, connection: Any = None
    ) -> list[Token]:
        """Record *appends*, each to another stream, all or none, as one event of the order; give a token for each."""
        ...

    async def read(self, query: Query, *, after: Marker | None = None, limit: int | None = None, newest: bool = False) -> Found:
        """Read the events that match *query*, all that is committed, and that *after* has not seen.

        *limit*: so many at most, from the oldest on; *newest*: from the newest back. The marker stands for the whole look, so a
        condition with it fails on whatever comes after, not on what *limit* left out.
        """
        ...

    def read_stream(
        self,
        stream: str,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        as_of: datetime | None = None,
        connection: Any = None,
    ) -> AsyncIterator[Envelope[Any]]:
        """Read one stream by version, both ends included; nothing for a stream that does not exist.

        *as_of*: as the stream was at that time, by when its events were recorded: up to the one before the first later event.
        *connection*: read within the caller's own transaction.
        """
        ...

    async def find(self, event_id: UUID, *, connection: Any = None) -> tuple[str, int] | None:
        """Give the stream and version of the event recorded as *event_id*, None when there is none."""
        ...

    async def hold(self, stream: str, connection: Any) -> None:
        """Let nobody else append to *stream* until the transaction of *connection* ends; take it before reading the stream."""
        ...

    def read_all(self, after: Position = START, limit: int | None = None) -> AsyncIterator[Envelope[Any]]:
        """Read all events in order, up to those that can't be overtaken any more; nothing ever appears behind a given one."""
        ...

    async def head(self) -> Position:
        """Give where a reader of all events stands that has read everything; START in an empty store."""
        ...

    async def count(self, after: Position = START) -> int:
        """Count what `read_all` would give from *after*; reads an index, so it takes time in proportion."""
        ...
