"""Facts: naming, recording and carrying them. Importing this loads no driver; rims are imported by name.

`eventstore.postgres` holds the store, `eventstore.log` the topics, `eventstore.relay` what carries events from one to the other.
"""

from eventstore.decider import Decider
from eventstore.envelope import Envelope, NewEvent, RawEvent
from eventstore.errors import ConditionFailed, DuplicateEvent, ForgottenSubject, RefoldError, UnknownEvent, WrongExpectedVersion
from eventstore.event import Events, event, registry, upcast
from eventstore.forgotten import SubjectForgotten
from eventstore.inquiry import Inquiry
from eventstore.privacy.marker import REDACTED, SEALED, Personal, Redacted, Subject, is_redacted
from eventstore.query import FailIf, Marker, Query, QueryItem
from eventstore.repository import Handled, Loaded, Repository
from eventstore.settings import KafkaSettings, PostgresSettings, PrivacySettings, ProcessSettings, RelaySettings
from eventstore.store import Append, EventStore, Found
from eventstore.stream import ANY_VERSION, NO_STREAM, START, STREAM_EXISTS, Position, Token

__all__ = [
    "ANY_VERSION",
    "NO_STREAM",
    "REDACTED",
    "SEALED",
    "START",
    "STREAM_EXISTS",
    "Append",
    "ConditionFailed",
    "Decider",
    "DuplicateEvent",
    "Envelope",
    "EventStore",
    "Events",
    "FailIf",
    "ForgottenSubject",
    "Found",
    "Handled",
    "Inquiry",
    "KafkaSettings",
    "Loaded",
    "Marker",
    "NewEvent",
    "Personal",
    "Position",
    "PostgresSettings",
    "PrivacySettings",
    "ProcessSettings",
    "Query",
    "QueryItem",
    "RawEvent",
    "Redacted",
    "RefoldError",
    "RelaySettings",
    "Repository",
    "Subject",
    "SubjectForgotten",
    "Token",
    "UnknownEvent",
    "WrongExpectedVersion",
    "event",
    "is_redacted",
    "registry",
    "upcast",
]
