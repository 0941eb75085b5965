"""One append as the database wants it, and what it answered.

A request is made once, before anything waits, so that whatever is wrong with it is refused to its caller alone; it holds the
texts that a group is put together from. It names event ids, which makes it repeatable however often its outcome stays unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from eventstore.codec import decode, encode
from eventstore.envelope import NewEvent
from eventstore.errors import ConditionFailed, DuplicateEvent, LimitExceeded, RefoldError, UsageError, WrongExpectedVersion
from eventstore.postgres.rows import Elements, Writer, check_stream
from eventstore.query import FailIf, Query
from eventstore.settings import PostgresSettings
from eventstore.stream import ANY_VERSION, STREAM_EXISTS, Position, Token, describe_expected

Answer = tuple[int, str | None, int, int | None, int | None, str | None]
"""A row of `append_v3`: part, code, version, xid, position, detail."""


Wrapped = tuple[str, int, Sequence[NewEvent]]
"""A stream, its expected version, and what to record in it."""


class Part(NamedTuple):
    """A request's share of one stream: *size* events, at which expected version."""

    stream: str
    expected: int
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """An append, encoded: *parts* in the order of *events*; *condition* as JSON without its number; *size* in bytes."""

    parts: tuple[Part, ...]
    events: tuple[Elements, ...]
    condition: bytes | None
    size: int

    @property
    def ids(self) -> list[bytes]:
        """The ids of its events, as elements."""
        return [each[0] for each in self.events]

    def answer(self, rows: Sequence[Answer]) -> list[Token]:
        """Give the tokens in *rows*, one a part. Raises WrongExpectedVersion, DuplicateEvent, ConditionFailed."""
        if rows[0][1] is not None:
            raise _refusal(self.parts, rows)
        return [
            Token(part.stream, row[2], Position(row[3] or 0, row[4] or 0)) for part, row in zip(self.parts, rows, strict=True)
        ]


class Requests:
    """Makes requests, within the limits of *settings*."""

    def __init__(self, writer: Writer, settings: PostgresSettings, name_of: Callable[[type], str]) -> None:
        self._writer = writer
        self._settings = settings
        self._name_of = name_of

    def make(self, appends: Sequence[Wrapped], condition: FailIf | None) -> Request:
        """Encode *appends*. Raises UsageError, LimitExceeded, DuplicateEvent for what can't be right."""
        parts = tuple(Part(check_stream(stream), _check_expected(expected), len(events)) for stream, expected, events in appends)
        if len({part.stream for part in parts}) < len(parts):
            raise UsageError("an append names a stream twice: put all its events into one Append")
        limit = self._settings
        self._bound("max_append_streams", limit.max_append_streams, len(parts), "streams")
        self._bound("max_append_events", limit.max_append_events, sum(part.size for part in parts), "events")
        wrapped = [(stream, event) for stream, _, events in appends for event in events]
        if not parts:
            raise UsageError("an append needs at least one stream")
        events = tuple([self._writer.elements(stream, event) for stream, event in wrapped])
        if len(events) > 1 and len({each[0] for each in events}) < len(events):
            raise DuplicateEvent("two events of an append have the same id; give new events new ids")
        size = sum([len(data) + len(metadata) + len(tags) for _, _, _, data, metadata, _, tags in events])
        self._bound("max_append_bytes", limit.max_append_bytes, size, "bytes")
        return Request(parts, events, self._condition(condition), size)

    def items(self, query: Query) -> list[dict[str, list[str] | None]]:
        """Give the items of *query* as the database wants them. Raises UsageError, LimitExceeded."""
        self._bound("max_query_items", self._settings.max_query_items, len(query.items), "query items")
        return [{"y": types, "g": tags} for types, tags in query.named(self._name_of)]

    def _condition(self, condition: FailIf | None) -> bytes | None:
        if condition is None:
            return None
        after = condition.after.snapshot if condition.after else None
        return encode({"q": self.items(condition.query), "a": after})

    def _bound(self, name: str, limit: int, amount: int, what: str) -> None:
        if amount > limit:
            raise LimitExceeded(
                f"an append of {amount} {what} is larger than {name}={limit}: append in parts, or raise REFOLD_POSTGRES_{name.upper()}",
                **{what.replace(" ", "_"): amount},
                limit=limit,
            )


def _check_expected(expected: int) -> int:
    if expected < STREAM_EXISTS:
        raise UsageError(f"expected={expected}: give a version from 0, ANY_VERSION or STREAM_EXISTS")
    return expected


def _refusal(parts: Sequence[Part], rows: Sequence[Answer]) -> RefoldError:
    code, detail = rows[0][1], rows[0][5]
    if code == "RF004":
        stream, version, kind = decode(detail or "[]")
        return ConditionFailed(
            f"the condition does not hold: event {kind!r} is in stream {stream!r} at version {version}; read, decide and append again",
            stream=stream,
            version=version,
            type=kind,
        )
    if code == "RF002":
        streams = ", ".join(repr(part.stream) for part in parts)
        return DuplicateEvent(f"append to {streams}: {detail}; give new events new ids", stream=parts[0].stream)
    for part, row in zip(parts, rows, strict=True):
        if part.expected != ANY_VERSION and row[2] != part.expected and not (part.expected == STREAM_EXISTS and row[2]):
            return wrong_version(part.stream, part.expected, row[2])
    raise AssertionError(f"append_v3 answered {rows!r}")


def wrong_version(stream: str, expected: int, actual: int) -> WrongExpectedVersion:
    """Say that *stream* is elsewhere than an append expected it."""
    return WrongExpectedVersion(
        f"stream {stream!r} is at version {actual}, expected was {describe_expected(expected)}: another writer came first; "
        "load it, decide and append again",
        stream=stream,
        expected=expected,
        actual=actual,
    )
