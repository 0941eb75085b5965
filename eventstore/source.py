"""What a projection may read: a topic and how its records become messages.

The store's own events are one source (`eventstore.log.events`), a captured table is another (`cdc`). A projection sees only
messages, so it cannot tell, and need not know, how a fact reached the log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

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
