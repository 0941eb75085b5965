"""The store's own events as a source of projections: structured CloudEvents, keyed by stream, one topic."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from eventstore.codec import loads
from eventstore.envelope import Envelope, utc
from eventstore.errors import UndecodableRecord
from eventstore.event import EventType, registry
from eventstore.settings import KafkaSettings
from eventstore.source import Message, Reader, Record
from eventstore.stream import Position


class EventSource:
    """The events topic."""

    name = "events"

    def topic(self, settings: KafkaSettings) -> str:
        """Give the topic's full name under these settings."""
        return settings.events_topic

    def reader(self, wanted: frozenset[str]) -> Reader:
        """Make a reader of the event types in *wanted*; their classes must be declared."""
        types = {name: registry.named(name) for name in wanted}

        def read(record: Record) -> Message | None:
            try:
                document = loads(record.value or b"")
                kind = types.get(document["type"])
                if kind is None:
                    return None
                event = _decode(kind, document)
                return Message(kind.name, event, document["subject"], None, lambda: envelop(document, event))
            except UndecodableRecord:
                raise
            except Exception as error:
                raise _undecodable(record, error) from error

        return read

    def position(self, record: Record) -> Position | None:
        """Give the store's position of a record, whatever its type; None when the record is not readable."""
        try:
            return Position.parse(loads(record.value or b"")["position"])
        except Exception:
            return None


def _decode(kind: EventType, document: dict[str, Any]) -> Any:
    return kind.decode(document["data"], document.get("schemaversion", 1))


def envelop(document: dict[str, Any], event: Any) -> Envelope[Any]:
    """Make the envelope of a decoded CloudEvent."""
    return Envelope(
        stream=document["subject"],
        version=document["streamversion"],
        position=Position.parse(document["position"]),
        id=UUID(document["id"]),
        type=document["type"],
        schema_version=document.get("schemaversion", 1),
        data=event,
        metadata=document.get("metadata", {}),
        occurred_at=utc(document["time"]),
        recorded_at=utc(document.get("recordedat", document["time"])),
    )


def _undecodable(record: Record, error: Exception) -> UndecodableRecord:
    head = (record.value or b"")[:40]
    return UndecodableRecord(
        f"{record.topic}[{record.partition}]@{record.offset} is no CloudEvent of this store ({type(error).__name__}: {error}); "
        f"it starts with {head!r}"
    )
