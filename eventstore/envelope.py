"""The two lives of an event: `NewEvent` as it is handed in, `Envelope` as it was recorded.

An envelope is what crosses every room: it is the same whether it was read from the store or from Kafka.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar, cast
from uuid import UUID

from eventstore.identity import make_id
from eventstore.stream import Position, Token
from eventstore.tenant import split

E = TypeVar("E")
NO_TAGS: Final[frozenset[str]] = frozenset()


def _setters(python: type) -> list[Callable[[object, object], None]]:
    """Give what fills the slots of *python*, a frozen dataclass, in the order of its fields, past its own guard.

    Called one by one they take a third of the time of the class itself, which looks up each slot by its name.
    """
    return [getattr(python, each.name).__set__ for each in fields(python)]


@dataclass(frozen=True, slots=True)
class RawEvent:
    """An event known by its stored name only: *data* is recorded as it is, unchecked (imports, translations, consoles)."""

    type: str
    data: Mapping[str, Any]
    version: int = 1


@dataclass(frozen=True, slots=True)
class NewEvent:
    """One event to record, with what its class does not say.

    *id* makes the append idempotent: recorded once, however often it is sent. *occurred_at* is when it happened in the world
    (aware; None = when it is recorded). *metadata* travels with the event and is not part of the fact. *tags* say what it is
    about, beside those that its class gives it; queries and conditions find it by them.
    """

    event: object
    id: UUID = field(default_factory=make_id)
    occurred_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tags: Iterable[str] = NO_TAGS

    @classmethod
    def wrap(cls, event: object) -> NewEvent:
        """Give *event* itself if it is wrapped already."""
        if isinstance(event, cls):
            return event
        made = _new(NewEvent)
        _put_event(made, event)
        _put_new_id(made, make_id())
        _put_occurred(made, None)
        _put_new_metadata(made, {})
        _put_new_tags(made, NO_TAGS)
        return made


_new: Final = object.__new__
_put_event, _put_new_id, _put_occurred, _put_new_metadata, _put_new_tags = _setters(NewEvent)


@dataclass(frozen=True, slots=True)
class Envelope(Generic[E]):
    """One recorded event.

    *version* counts from 1 within *stream*; *position* orders all events of the store; *schema_version* is the one it was
    stored under, *data* is already lifted to the newest. Times are aware UTC.
    """

    stream: str
    version: int
    position: Position
    id: UUID
    type: str
    schema_version: int
    data: E
    metadata: Mapping[str, Any]
    occurred_at: datetime
    recorded_at: datetime
    tags: frozenset[str] = NO_TAGS

    @property
    def tenant(self) -> str | None:
        """The tenant that the stream is of; None for a stream of no tenant."""
        return split(self.stream)[0]

    @property
    def token(self) -> Token:
        """The token that an append of this event returned."""
        return Token(self.stream, self.version, self.position)


(
    _put_stream,
    _put_version,
    _put_position,
    _put_id,
    _put_type,
    _put_schema_version,
    _put_data,
    _put_metadata,
    _put_occurred_at,
    _put_recorded_at,
    _put_tags,
) = _setters(Envelope)


def recorded(row: Sequence[Any], data: E, metadata: Mapping[str, Any]) -> Envelope[E]:
    """Give the envelope of a row of the store: stream, version, xid, sequence, id, type, schema version, …, both times, tags."""
    made = cast("Envelope[E]", _new(Envelope))
    _put_stream(made, row[0])
    _put_version(made, row[1])
    _put_position(made, Position(row[2], row[3]))
    _put_id(made, row[4])
    _put_type(made, row[5])
    _put_schema_version(made, row[6])
    _put_data(made, data)
    _put_metadata(made, metadata)
    _put_occurred_at(made, row[9])
    _put_recorded_at(made, row[10])
    _put_tags(made, frozenset(row[11]) if row[11] else NO_TAGS)
    return made


def utc(text: str) -> datetime:
    """Read an ISO 8601 time; a naive one is UTC."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
