"""What an event store does, whatever keeps the events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from eventstore.envelope import Envelope
from eventstore.stream import ANY_VERSION, START, Position, Token


class EventStore(Protocol):
    """Streams of events that only grow, and one order over all of them."""

    async def append(
        self, stream: str, events: Iterable[object], *, expected: int = ANY_VERSION, connection: Any = None
    ) -> Token:
        """Record *events* (instances of event classes, or NewEvent) at the end of *stream*, all or none.

        Equal event ids are recorded once: a repeated append returns what the first one returned.
        *connection*: append inside the caller's own transaction; without it the append commits before this returns.
        Raises WrongExpectedVersion when *expected* does not hold, DuplicateEvent when ids are recorded as something else,
        LimitExceeded, Unreachable.
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
