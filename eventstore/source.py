"""What a projection may read: a topic and how its records become messages.

The store's own events are one source (`eventstore.log.events`), a captured table is another (`cdc`). A projection sees only
messages, so it cannot tell, and need not know, how a fact reached the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from eventstore.settings import KafkaSettings
from eventstore.stream import Position


class Record(Protocol):
    """One Kafka record as the log hands it over."""

    @property
    def topic(self) -> str: ...  # noqa: D102
    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...  # noqa: D102


class Message(NamedTuple):
    """One decoded record.

    *name* is what handlers subscribe to (an event type's name, a table's name), *body* what they receive (the event, the
    Change), *key* the default row key (the stream's name; the row's primary key values as a tuple), *raw* what `Source.detail`
    needs to make a handler's third parameter.
    """

    name: str
    body: Any
    key: Any
    raw: Any


Reader = Callable[[Record], Message | None]
"""Reads one record; None = nothing for this projection (another type, a tombstone). Raises UndecodableRecord."""
Spread = tuple[str, Any, Any, Any]
"""A message, or a plain tuple of the same four, which is made in half the time."""
Scan = Callable[[Iterable[Record]], Iterator[Spread]]
"""Goes through records in order and gives the message of each that has one. Raises as the reader does, and then ends."""


def scan_each(read: Reader) -> Scan:
    """Give what goes through records one by one."""
    return lambda records: (message for record in records if (message := read(record)) is not None)


class Source(Protocol):
    """A topic and its reader. Equal sources (same `name`) are read once."""

    @property
    def name(self) -> str:
        """Give the source's stable name, for fingerprints and messages."""
        ...

    @property
    def messages(self) -> Sequence[str]:
        """Give the names of all messages it can give; empty when they are open, as with events."""
        ...

    def topic(self, settings: KafkaSettings) -> str:
        """Give the topic's full name under these settings."""
        ...

    def reader(self, wanted: frozenset[str]) -> Reader:
        """Make a reader that gives only messages whose name is in *wanted*, cheaply passing over the rest."""
        ...

    def detail(self, body: Any, raw: Any) -> Any:
        """Give what a handler with a third parameter receives: the Envelope of an event, the Change itself."""
        ...

    def position(self, record: Record) -> Position | None:
        """Give the store's position of *record*, whatever its type; None where the source has none."""
        ...


Act = Literal["appear", "read", "change", "vanish", "sweep"]


class Place(NamedTuple):
    """Where a message stands in the order of its source, and what it does to the row that it is about.

    *key* names the row as text; None = it has no name. *act*: the row is new, was found by a snapshot, changed, went, or every row that
    was there went. *order* rises with the source's commits while its log is the same one; *at* is the commit's time by the source's
    clock, in microseconds. *snapshot* identifies the whole snapshot that the row belongs to, *ends* says that it was its last row;
    *aside* marks a row that a snapshot beside the stream found, whose order says nothing.
    """

    key: str | None
    act: Act
    order: tuple[int, int]
    at: int
    snapshot: str | None = None
    ends: bool = False
    aside: bool = False


class Sweep(NamedTuple):
    """Where rows went that no message of their own took away, and *why*.

    With a `truncate`, because a `snapshot` of the whole source no longer holds them, or `unseen`: a row came again, so it must have gone.
    """

    why: Literal["truncate", "snapshot", "unseen"]
    order: tuple[int, int]
    at: int


@runtime_checkable
class OrderedSource(Source, Protocol):
    """A source that tells where its messages stand, so that repeated, late and vanished ones can be told apart from new ones."""

    @property
    def recalls(self) -> bool:
        """Say whether messages that remove a row hold what the row was."""
        ...

    def place(self, body: Any) -> Place:
        """Give where a message stands."""
        ...

    def recall(self, body: Any) -> str:
        """Give the row after a message as text, from which `remove` makes the message of its going."""
        ...

    def remove(self, key: str, row: str | None, sweep: Sweep) -> Message:
        """Make the message that takes away the row named *key*, last known as *row*."""
        ...

    def revise(self, body: Any, row: str | None) -> Message:
        """Make the message that changes a row known as *row* out of one that found it anew."""
        ...


class Told(NamedTuple):
    """A message without its record, as a test has it: *key* is what a record of it would be spread by, None = it has none."""

    key: bytes | None
    message: Message


@runtime_checkable
class Deed(Protocol):
    """Something that happened in a source, as a test says it; *partitions* is how many the source's topic has."""

    @property
    def source(self) -> Source: ...  # noqa: D102
    @property
    def partitions(self) -> int: ...  # noqa: D102

    def happen(self, kept: dict[str, Any], number: int, at: datetime) -> Sequence[Told]:
        """Give the messages of what happened *at* this time, as the *number*th thing of all (from 1).

        *kept* is the source's memory from one deed to the next, empty at first. Raises UsageError for what can't happen now.
        """
        ...
