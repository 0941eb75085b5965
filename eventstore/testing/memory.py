"""An event store in memory, for tests: the same contract as PostgreSQL's, checked by the same tests (`tests/contracts/`).

Events go through the same writer, so that a limit, a NUL or a field without a JSON form is refused here as it is there, and what is
read was read back from JSON. It is one process's, knows no transactions, and forgets everything at the end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, cast
from uuid import UUID

from eventstore.codec import decode
from eventstore.envelope import Envelope, NewEvent, RawEvent
from eventstore.errors import ConditionFailed, DuplicateEvent, UsageError, WrongExpectedVersion
from eventstore.event import Events, fields_of, registry
from eventstore.query import FailIf, Marker, Query
from eventstore.settings import PostgresSettings
from eventstore.snapshot import Snapshot
from eventstore.store import Append, Found
from eventstore.stream import ANY_VERSION, NO_STREAM, START, STREAM_EXISTS, Position, Token, check_moment, describe_expected
from eventstore.testing.clock import Clock


@dataclass(frozen=True, slots=True)
class _Stored:
    """One event as it was written down."""

    stream: str
    version: int
    position: Position
    id: UUID
    type: str
    schema_version: int
    data: bytes
    metadata: bytes
    occurred_at: datetime
    recorded_at: datetime
    tags: frozenset[str]


class MemoryEventStore:
    """Streams of events in this process's memory; *clock* says when they are recorded."""

    def __init__(self, clock: Callable[[], datetime] | None = None, events: Events = registry) -> None:
        from eventstore.postgres.rows import Writer, check_stream  # brings the driver: only who uses a store pays for it
        from eventstore.sealer import SealedEvent

        self._clock = clock or Clock()
        self._events = events
        self._writer = Writer(events, PostgresSettings())
        self._check_stream = check_stream
        self._sealed = SealedEvent
        self._stored: list[_Stored] = []
        self._streams: dict[str, list[_Stored]] = {}
        self._ids: dict[UUID, _Stored] = {}
        self._transactions = 0

    async def append(
        self,
        stream: str,
        events: Iterable[object],
        *,
        expected: int = ANY_VERSION,
        condition: FailIf | None = None,
        connection: Any = None,
    ) -> Token:
        """Record *events* at the end of *stream*, all or none; see EventStore."""
        [token] = await self.append_all([Append(stream, list(events), expected)], condition=condition, connection=connection)
        return token

    async def append_all(
        self, appends: Iterable[Append], *, condition: FailIf | None = None, connection: Any = None
    ) -> list[Token]:
        """Record *appends*, each to another stream, all or none; see EventStore."""
        _refuse(connection)
        asked = [(each, self._writer.wrap(each.events)) for each in appends]
        for each, _ in asked:
            self._check_stream(each.stream)
            if each.expected < STREAM_EXISTS:
                raise UsageError(f"expected={each.expected}: give a version from 0, ANY_VERSION or STREAM_EXISTS")
        if not asked or len({each.stream for each, _ in asked}) < len(asked):
            raise UsageError("append_all needs at least one append, each to another stream")
        known = [self._known(each.stream, new) for each, new in asked]
        if all(known):
            return [each for each in known if each]
        if any(known):
            raise DuplicateEvent("some of these appends are recorded already, others not: give new events new ids")
        for each, _ in asked:
            self._check_version(each)
        self._check_condition(condition)
        self._transactions += 1
        written = [[self._prepare(each.stream, one) for one in new] for each, new in asked]
        return [self._write(each.stream, parts) for (each, _), parts in zip(asked, written, strict=True)]

    async def read(self, query: Query, *, after: Marker | None = None, limit: int | None = None, newest: bool = False) -> Found:
        """Read the events that match *query* and that *after* has not seen; see EventStore."""
        found = [each for each in self._stored[_seen(after) :] if self._matches(each, query)]
        chosen = list(islice(reversed(found) if newest else found, limit))
        return Found([self._envelope(each) for each in chosen], Marker(str(len(self._stored))))

    async def read_stream(
        self,
        stream: str,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        as_of: datetime | None = None,
        connection: Any = None,
        decoded: bool = True,
    ) -> AsyncIterator[Envelope[Any]]:
        """Read one stream by version, both ends included; see EventStore."""
        _refuse(connection)
        for each in list(self._streams.get(stream, ())):
            if as_of is not None and each.recorded_at > check_moment(as_of):
                return
            if each.version >= from_version and (to_version is None or each.version <= to_version):
                yield self._envelope(each, decoded=decoded)

    async def find(self, event_id: UUID, *, connection: Any = None) -> tuple[str, int] | None:
        """Give the stream and version of the event recorded as *event_id*, None when there is none."""
        _refuse(connection)
        found = self._ids.get(event_id)
        return (found.stream, found.version) if found else None

    async def hold(self, stream: str, connection: Any) -> None:
        """Refuse: there are no transactions here."""
        _refuse(connection or stream)

    async def read_all(
        self, after: Position = START, limit: int | None = None, *, decoded: bool = True
    ) -> AsyncIterator[Envelope[Any]]:
        """Read all events in order from just after *after*."""
        for each in islice([each for each in self._stored if each.position > after], limit):
            yield self._envelope(each, decoded=decoded)

    async def head(self) -> Position:
        """Give the position of the last event; START when there is none."""
        return self._stored[-1].position if self._stored else START

    async def count(self, after: Position = START) -> int:
        """Count the events after *after*."""
        return sum(each.position > after for each in self._stored)

    def _known(self, stream: str, new: Sequence[NewEvent]) -> Token | None:
        """Give what the same append gave before; None when nothing of it is recorded."""
        found = [self._ids.get(each.id) for each in new]
        if not any(found):
            return None
        first = next(each for each in found if each)
        shifts = {each.version - n if each and each.stream == stream else None for n, each in enumerate(found)}
        if None in shifts or len(shifts) > 1:
            raise DuplicateEvent(
                f"append to {stream!r}: {sum(map(bool, found))} of {len(new)} event ids are recorded already, and not as this append: "
                f"for example {first.id} in stream {first.stream}; give new events new ids",
                stream=stream,
            )
        last = self._ids[new[-1].id]
        return Token(stream, last.version, last.position)

    def _check_version(self, asked: Append) -> None:
        actual = len(self._streams.get(asked.stream, ()))
        fits = {ANY_VERSION: True, NO_STREAM: actual == 0, STREAM_EXISTS: actual > 0}.get(
            asked.expected, actual == asked.expected
        )
        if not fits:
            raise WrongExpectedVersion(
                f"stream {asked.stream!r} is at version {actual}, expected was {describe_expected(asked.expected)}: another writer "
                "came first; load it, decide and append again",
                stream=asked.stream,
                expected=asked.expected,
                actual=actual,
            )

    def _check_condition(self, condition: FailIf | None) -> None:
        for each in self._stored[_seen(condition.after) :] if condition else ():
            if condition and self._matches(each, condition.query):
                raise ConditionFailed(
                    f"{each.type} in stream {each.stream!r} matches the condition: read, decide and append again"
                )

    def _matches(self, stored: _Stored, query: Query) -> bool:
        return any(
            (types is None or stored.type in types) and stored.tags.issuperset(tags or ())
            for types, tags in query.named(lambda python: self._events.of(python).name)
        )

    def _prepare(self, stream: str, new: NewEvent) -> tuple[NewEvent, str, int, bytes, bytes, frozenset[str]]:
        tags = frozenset(self._writer.tags(stream, new))
        new = self._open(new)
        self._writer.elements(stream, new)
        self._check_stream(stream)
        form, data, metadata = self._writer.parts(new)
        return new, form.name, form.version, data, metadata, tags

    def _open(self, new: NewEvent) -> NewEvent:
        """Let personal data pass as it is: there are no keys here, and nothing outlives the test."""
        kind = None if isinstance(new.event, RawEvent) else self._events.of(type(new.event))
        if kind is None or not kind.privacy:
            return new
        return replace(new, event=self._sealed(kind.name, cast("Mapping[str, Any]", fields_of(new.event)), kind.version))

    def _write(self, stream: str, parts: Sequence[tuple[NewEvent, str, int, bytes, bytes, frozenset[str]]]) -> Token:
        now = self._clock()
        events = self._streams.setdefault(stream, [])
        for new, name, schema_version, data, metadata, tags in parts:
            made = _Stored(
                stream=stream,
                version=len(events) + 1,
                position=Position(self._transactions, len(self._stored) + 1),
                id=new.id,
                type=name,
                schema_version=schema_version,
                data=data,
                metadata=metadata,
                occurred_at=(new.occurred_at or now).astimezone(UTC),
                recorded_at=now,
                tags=tags,
            )
            events.append(made)
            self._stored.append(made)
            self._ids[new.id] = made
        return Token(stream, len(events), events[-1].position)

    def _envelope(self, stored: _Stored, *, decoded: bool = True) -> Envelope[Any]:
        data = decode(stored.data)
        return Envelope(
            stream=stored.stream,
            version=stored.version,
            position=stored.position,
            id=stored.id,
            type=stored.type,
            schema_version=stored.schema_version,
            data=self._events.named(stored.type).decode(data, stored.schema_version) if decoded else data,
            metadata=decode(stored.metadata),
            occurred_at=stored.occurred_at,
            recorded_at=stored.recorded_at,
            tags=stored.tags,
        )


class MemorySnapshots:
    """Snapshots in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Snapshot] = {}

    async def find(self, stream: str, fingerprint: str, most: int) -> Snapshot | None:
        """Give the snapshot of *stream* if it stands at version *most* or below."""
        found = self.kept.get((stream, fingerprint))
        return found if found and found.version <= most else None

    async def save(self, snapshot: Snapshot) -> None:
        """Keep *snapshot* unless a newer one is kept already."""
        key = snapshot.stream, snapshot.fingerprint
        if key not in self.kept or self.kept[key].version < snapshot.version:
            self.kept[key] = snapshot

    async def drop(self, stream: str | None = None) -> int:
        """Delete those of *stream*, or all; gives how many."""
        gone = [key for key in self.kept if stream is None or key[0] == stream]
        for key in gone:
            del self.kept[key]
        return len(gone)


def _seen(marker: Marker | None) -> int:
    return int(marker.snapshot) if marker else 0


def _refuse(connection: Any) -> None:
    if connection is not None:
        raise UsageError("the store in memory knows no transactions: test what takes connection= on PostgreSQL")
