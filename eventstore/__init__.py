"""Facts: naming, recording and carrying them. Importing this loads no driver; rims are imported by name.

`eventstore.postgres` holds the store, `eventstore.log` the topics, `eventstore.relay` what carries events from one to the other.
"""

from eventstore.envelope import Envelope, NewEvent, RawEvent
from eventstore.errors import DuplicateEvent, RefoldError, UnknownEvent, WrongExpectedVersion
from eventstore.event import Events, event, registry, upcast
from eventstore.settings import KafkaSettings, PostgresSettings, RelaySettings
from eventstore.store import EventStore
from eventstore.stream import ANY_VERSION, NO_STREAM, START, STREAM_EXISTS, Position, Token

__all__ = [
    "ANY_VERSION",
    "NO_STREAM",
    "START",
    "STREAM_EXISTS",
    "DuplicateEvent",
    "Envelope",
    "EventStore",
    "Events",
    "KafkaSettings",
    "NewEvent",
    "Position",
    "PostgresSettings",
    "RawEvent",
    "RefoldError",
    "RelaySettings",
    "Token",
    "UnknownEvent",
    "WrongExpectedVersion",
    "event",
    "registry",
    "upcast",
]
