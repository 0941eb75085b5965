"""Facts: naming, recording and carrying them. Importing this loads no driver; rims are imported by name.

`eventstore.postgres` holds the store, `eventstore.log` the topics, `eventstore.relay` what carries events from one to the other.
"""

from eventstore.envelope import Envelope, NewEvent, RawEvent
from eventstore.errors import ConditionFailed, DuplicateEvent, RefoldError, UnknownEvent, WrongExpectedVersion
from eventstore.event import Events, event, registry, upcast
from eventstore.query import FailIf, Marker, Query, QueryItem
from eventstore.settings import KafkaSettings, PostgresSettings, RelaySettings
from eventstore.store import Append, EventStore, Found
from eventstore.stream import ANY_VERSION, NO_STREAM, START, STREAM_EXISTS, Position, Token

__all__ = [
    "ANY_VERSION",
    "NO_STREAM",
    "START",
    "STREAM_EXISTS",
    "Append",
    "ConditionFailed",
    "DuplicateEvent",
    "Envelope",
    "EventStore",
    "Events",
    "FailIf",
    "Found",
    "KafkaSettings",
    "Marker",
    "NewEvent",
    "Position",
    "PostgresSettings",
    "Query",
    "QueryItem",
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
