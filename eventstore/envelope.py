"""The two lives of an event: `NewEvent` as it is handed in, `Envelope` as it was recorded.

An envelope is what crosses every room: it is the same whether it was read from the store or from Kafka.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from eventstore.identity import make_id
from eventstore.stream import Position, Token
from eventstore.tenant import split

E = TypeVar("E")
NO_TAGS: Final[frozenset[str]] = frozenset()


def assembler(python: type[E]) -> Callable[..., E]:
    """Give what makes a *python*, a frozen dataclass with slots, of all its fields in their order.

    It takes half the time of the class itself, which looks every slot up by its name to get past its own guard: of 1,000 events
    that are read, that is a tenth.
    """
    puts = [getattr(python, each.name).__set__ for each in fields(python)]  # pyright: ignore[reportArgumentType]

    def assemble(*values: object) -> E:
        made = object.__new__(python)
        for put, value in zip(puts, values, strict=True):
            put(made, value)
        return made

    return assemble


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
        return event if isinstance(event, cls) else _assemble_new(event, make_id(), None, {}, NO_TAGS)


_assemble_new: Final[Callable[..., NewEvent]] = assembler(NewEvent)


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


def utc(text: str) -> datetime:
    """Read an ISO 8601 time; a naive one is UTC."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
