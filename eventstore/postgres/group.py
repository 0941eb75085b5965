"""Which waiting appends share the next transaction, and how they are put together. Pure; `lane` carries it out.

A group is right for every member because `append_v3` decides on each by itself, in the order of the group, and a refused one
writes nothing. Two things can't be told apart inside one statement, so they go one after the other: the same event id twice,
and a stream whose version somebody counts on while another member appends to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

from eventstore.postgres.array import (
    NULL,
    Array,
    BigintArray,
    IntegerArray,
    JsonbArray,
    TextArray,
    TimestamptzArray,
    UuidArray,
    write_bigint,
    write_integer,
    write_text,
)
from eventstore.postgres.request import Request
from eventstore.postgres.rows import Elements
from eventstore.settings import PostgresSettings
from eventstore.stream import ANY_VERSION

A = TypeVar("A", bound=Array)
_PATIENCE = 4
"""How many times the members of a full group are looked at before the rest waits unseen."""
_WORTH = 16
"""Requests that are worth a group: its transaction costs about as much as recording these."""


class Limits(NamedTuple):
    """What one group holds at most; a request that is larger by itself goes alone."""

    requests: int
    events: int
    size: int
    streams: int

    @classmethod
    def of(cls, settings: PostgresSettings) -> Limits:
        """Take them from *settings*."""
        streams = max(settings.max_append_streams, settings.group_requests)
        return cls(settings.group_requests, settings.group_events, settings.group_bytes, streams)

    def shared(self, waiting: int, lanes: int) -> Limits:
        """Leave each other one of the free *lanes* a share of the requests *waiting*, if that is worth a group of its own."""
        share = max(_WORTH, -(-waiting // max(1, lanes)))
        return self._replace(requests=min(self.requests, share))


def choose(waiting: Sequence[Request], limits: Limits, held: Iterable[str] = ()) -> list[int]:
    """Give the indexes of the requests that go next, the first always among them unless its stream is *held*.

    Requests that touch a common stream never overtake each other, so nobody waits for ever. *held* streams wait for somebody who
    was sent before.
    """
    chosen: list[int] = []
    ids: set[bytes] = set()
    shared: set[str] = set()  # streams that chosen requests append to at any version
    closed: set[str] = set(
        held
    )  # streams that nobody else may touch: counted on by a chosen one, or a request before waits for them
    events = size = streams = 0
    for index, request in enumerate(waiting[: limits.requests * _PATIENCE]):
        if chosen and not _fits(request, limits, (len(chosen), events, size, streams)):
            break
        own = request.ids
        if _meets(request, shared, closed) or not ids.isdisjoint(own):
            closed.update([part.stream for part in request.parts])
            continue
        chosen.append(index)
        ids.update(own)
        events += len(own)
        size += request.size
        streams += len(request.parts)
        for part in request.parts:
            (shared if part.expected == ANY_VERSION else closed).add(part.stream)
    return chosen


def _fits(request: Request, limits: Limits, filled: tuple[int, int, int, int]) -> bool:
    requests, events, size, streams = filled
    return (
        requests < limits.requests
        and events + len(request.events) <= limits.events
        and size + request.size <= limits.size
        and streams + len(request.parts) <= limits.streams
    )


def _meets(request: Request, shared: set[str], closed: set[str]) -> bool:
    return any(part.stream in closed or (part.expected != ANY_VERSION and part.stream in shared) for part in request.parts)


class Composed(NamedTuple):
    """The parameters of `append_v3`; what no event of the group has is None."""

    requests: IntegerArray
    streams: TextArray
    expected: BigintArray
    counts: IntegerArray
    ids: UuidArray
    types: TextArray
    versions: IntegerArray
    data: JsonbArray
    metadata: JsonbArray | None
    occurred: TimestamptzArray | None
    tags: TextArray | None
    conditions: str | None


def compose(group: Iterable[Request]) -> Composed:
    """Put *group* together."""
    parts: list[tuple[bytes, bytes, bytes, bytes]] = []
    events: list[Elements] = []
    conditions: list[bytes] = []
    for number, request in enumerate(group, 1):
        own = write_integer(number)
        parts += [
            (own, write_text(stream), write_bigint(expected), write_integer(size)) for stream, expected, size in request.parts
        ]
        events += request.events
        if request.condition is not None:
            conditions.append(b'{"r":%d,%b' % (number, request.condition[1:]))
    requests, streams, expected, counts = zip(*parts, strict=True)
    ids, types, versions, data, metadata, occurred, tags = zip(*events, strict=True)
    return Composed(
        IntegerArray(requests),
        TextArray(streams),
        BigintArray(expected),
        IntegerArray(counts),
        UuidArray(ids),
        TextArray(types),
        IntegerArray(versions),
        JsonbArray(data),
        _array(JsonbArray, metadata),
        _array(TimestamptzArray, occurred),
        _array(TextArray, tags),
        _list(conditions) if conditions else None,
    )


def _array(kind: type[A], elements: tuple[bytes, ...]) -> A | None:
    """Make the array of what some events have; None when none has it."""
    return kind(elements) if elements.count(NULL) < len(elements) else None


def _list(texts: list[bytes]) -> str:
    return (b"[" + b",".join(texts) + b"]").decode()
